# SPDX-License-Identifier: Apache-2.0
# `cmake --install`, and what makes find_package(tickbridge) work from there.
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/tickbridge)
install(EXPORT tickbridge-targets NAMESPACE tickbridge:: DESTINATION ${package_dir})
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/tickbridge-config-version.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES cmake/tickbridge-config.cmake cmake/dependencies.cmake
              ${CMAKE_CURRENT_BINARY_DIR}/tickbridge-config-version.cmake
        DESTINATION ${package_dir})
