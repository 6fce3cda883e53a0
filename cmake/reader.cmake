# SPDX-License-Identifier: Apache-2.0
# libtickbridge_reader: what strategies link, shared and static. Only the C ABI is visible, and nothing is needed but the
# C++ runtime: these sources include no Abseil.
set(reader_sources core/boot_id.cc core/clock.cc core/decimal.cc core/latest_table.cc core/pages.cc core/symbol_table.cc
                   sink/reader_c.cc sink/table_reader.cc)

# Compiled once for both. With hidden symbols, so not a part of the module `sink`.
add_library(tickbridge_reader_objects OBJECT ${reader_sources})
target_compile_features(tickbridge_reader_objects PRIVATE cxx_std_20)
target_include_directories(tickbridge_reader_objects PRIVATE ${PROJECT_SOURCE_DIR})
target_link_libraries(tickbridge_reader_objects PRIVATE tickbridge_options)
set_target_properties(tickbridge_reader_objects PROPERTIES CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)

add_library(tickbridge_reader SHARED $<TARGET_OBJECTS:tickbridge_reader_objects>)
set_target_properties(tickbridge_reader PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION 0)
target_link_libraries(tickbridge_reader PRIVATE $<BUILD_INTERFACE:tickbridge_options>)
add_library(tickbridge_reader_static STATIC $<TARGET_OBJECTS:tickbridge_reader_objects>)
set_target_properties(tickbridge_reader_static PROPERTIES OUTPUT_NAME tickbridge_reader)
foreach(target tickbridge_reader tickbridge_reader_static)
  target_include_directories(${target} INTERFACE
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/sink> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  install(TARGETS ${target} EXPORT tickbridge-targets)
endforeach()
set_target_properties(tickbridge_reader PROPERTIES EXPORT_NAME reader)
set_target_properties(tickbridge_reader_static PROPERTIES EXPORT_NAME reader_static)
install(FILES sink/tickbridge_reader.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
configure_file(cmake/tickbridge_reader.pc.in tickbridge_reader.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/tickbridge_reader.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

# The Python package is one file: PYTHONPATH, or `pip install tools/python`.
install(DIRECTORY tools/python/tickbridge DESTINATION ${CMAKE_INSTALL_DATADIR}/tickbridge/python
        FILES_MATCHING PATTERN "*.py")
