# SPDX-License-Identifier: Apache-2.0
# libtickbridge_publisher: what feed handlers link, shared and static. Only the C ABI is visible, and nothing is needed
# but the C++ runtime: these sources include no Abseil.
set(publisher_sources
  core/decimal.cc feed/mapping_guard.cc feed/publisher.cc feed/publisher_c.cc feed/refused.cc feed/ring_file.cc)

# Compiled once for both. With hidden symbols, so not a part of the module `feed`.
add_library(tickbridge_publisher_objects OBJECT ${publisher_sources})
target_compile_features(tickbridge_publisher_objects PRIVATE cxx_std_20)
target_include_directories(tickbridge_publisher_objects PRIVATE ${PROJECT_SOURCE_DIR})
target_link_libraries(tickbridge_publisher_objects PRIVATE tickbridge_options)
set_target_properties(tickbridge_publisher_objects PROPERTIES CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)

add_library(tickbridge_publisher SHARED $<TARGET_OBJECTS:tickbridge_publisher_objects>)
set_target_properties(tickbridge_publisher PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION 0)
target_link_libraries(tickbridge_publisher PRIVATE $<BUILD_INTERFACE:tickbridge_options>)
add_library(tickbridge_publisher_static STATIC $<TARGET_OBJECTS:tickbridge_publisher_objects>)
set_target_properties(tickbridge_publisher_static PROPERTIES OUTPUT_NAME tickbridge_publisher)
foreach(target tickbridge_publisher tickbridge_publisher_static)
  target_include_directories(${target} INTERFACE
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/feed> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  install(TARGETS ${target} EXPORT tickbridge-targets)
endforeach()
set_target_properties(tickbridge_publisher PROPERTIES EXPORT_NAME publisher)
set_target_properties(tickbridge_publisher_static PROPERTIES EXPORT_NAME publisher_static)
install(FILES feed/tickbridge_publisher.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
configure_file(cmake/tickbridge_publisher.pc.in tickbridge_publisher.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/tickbridge_publisher.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
