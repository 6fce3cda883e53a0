# SPDX-License-Identifier: Apache-2.0
# The libraries that tickbridge uses, as targets. tools/setup installs them all.
#
# Targets that are not the packages' own: tickbridge_hiredis (with TLS), tickbridge_concurrentqueue, tickbridge_zstd.
# They are imported ones, like the others, so their headers count as system headers (our -Werror does not reach them),
# and a library of ours that links one can be exported without it. Usable from an installed package too.

# hiredis and Abseil as tools/setup built them, where the system's do not serve.
if(NOT "$ENV{TICKBRIDGE_DEPS}" STREQUAL "")
  set(_tickbridge_deps "$ENV{TICKBRIDGE_DEPS}")
elseif(NOT "$ENV{XDG_CACHE_HOME}" STREQUAL "")
  set(_tickbridge_deps "$ENV{XDG_CACHE_HOME}/tickbridge/deps")
elseif(NOT "$ENV{HOME}" STREQUAL "")
  set(_tickbridge_deps "$ENV{HOME}/.cache/tickbridge/deps")
else()  # as in tools/setup: bash knows the account's home without HOME
  execute_process(COMMAND bash -c "echo ~" OUTPUT_VARIABLE _tickbridge_home OUTPUT_STRIP_TRAILING_WHITESPACE)
  set(_tickbridge_deps "${_tickbridge_home}/.cache/tickbridge/deps")
endif()
set(TICKBRIDGE_DEPS_PREFIX "${_tickbridge_deps}" CACHE PATH "Where tools/setup put the libraries that it built")
if(EXISTS "${TICKBRIDGE_DEPS_PREFIX}/stamp")
  list(PREPEND CMAKE_PREFIX_PATH "${TICKBRIDGE_DEPS_PREFIX}")
endif()

function(_tickbridge_missing what package)
  message(FATAL_ERROR "tickbridge needs ${what} (${package}), which was not found. On Debian, run tools/setup. "
                      "Looked for built libraries in TICKBRIDGE_DEPS_PREFIX=${TICKBRIDGE_DEPS_PREFIX}.")
endfunction()

# package: where Debian has it. The rest goes to find_package.
macro(_tickbridge_find name package)
  find_package(${name} ${ARGN} QUIET)
  if(NOT ${name}_FOUND)
    _tickbridge_missing("${name}" "${package}")
  endif()
endmacro()

_tickbridge_find(Threads libc6-dev)
_tickbridge_find(PkgConfig pkg-config)
_tickbridge_find(OpenSSL libssl-dev)
_tickbridge_find(ZLIB zlib1g-dev)
_tickbridge_find(simdjson libsimdjson-dev CONFIG)
if(NOT TICKBRIDGE_LIBRARIES_ONLY)  # set by the installed package: what only the command line uses
  _tickbridge_find(fmt libfmt-dev CONFIG)
  _tickbridge_find(spdlog libspdlog-dev CONFIG)
  _tickbridge_find(tomlplusplus libtomlplusplus-dev CONFIG)
  _tickbridge_find(CLI11 libcli11-dev CONFIG)
endif()
if(TICKBRIDGE_BUILD_TESTS)
  _tickbridge_find(GTest "libgtest-dev libgmock-dev")
endif()
if(TICKBRIDGE_BUILD_BENCH)
  _tickbridge_find(benchmark libbenchmark-dev CONFIG)
endif()

# Debian's own Abseil has a string_view type of its own, which is not ours to pass around. Of any built Abseil, leave the
# hash containers alone: their layout differs under -fsanitize=address, and the library was compiled without (it crashes).
_tickbridge_find(absl "built by tools/setup" CONFIG)
get_target_property(_tickbridge_include absl::config INTERFACE_INCLUDE_DIRECTORIES)
list(GET _tickbridge_include 0 _tickbridge_include)
if(EXISTS "${_tickbridge_include}/absl/base/options.h")
  file(STRINGS "${_tickbridge_include}/absl/base/options.h" _tickbridge_option
       REGEX "^#define ABSL_OPTION_USE_STD_STRING_VIEW 0")
  if(_tickbridge_option)
    _tickbridge_missing("an Abseil with std::string_view, other than the one in ${_tickbridge_include}" "built by tools/setup")
  endif()
endif()

# By pkg-config, which every build of hiredis comes with (CMake's way differs between them). Its own include flags would
# put names as common as <net.h> and <read.h> on the path; ours is <hiredis/hiredis.h> only.
pkg_check_modules(TICKBRIDGE_HIREDIS QUIET hiredis>=1.1)
pkg_check_modules(TICKBRIDGE_HIREDIS_SSL QUIET hiredis_ssl)
if(NOT TICKBRIDGE_HIREDIS_FOUND OR NOT TICKBRIDGE_HIREDIS_SSL_FOUND)
  _tickbridge_missing("hiredis >= 1.1 with hiredis_ssl" "built by tools/setup")
endif()
if(NOT TARGET tickbridge_hiredis)
  add_library(tickbridge_hiredis INTERFACE IMPORTED GLOBAL)
  target_include_directories(tickbridge_hiredis INTERFACE ${TICKBRIDGE_HIREDIS_INCLUDEDIR})
  target_link_libraries(tickbridge_hiredis INTERFACE
    ${TICKBRIDGE_HIREDIS_SSL_LINK_LIBRARIES} ${TICKBRIDGE_HIREDIS_LINK_LIBRARIES} OpenSSL::SSL OpenSSL::Crypto)
endif()

pkg_check_modules(TICKBRIDGE_ZSTD QUIET IMPORTED_TARGET GLOBAL libzstd)
if(NOT TICKBRIDGE_ZSTD_FOUND)
  _tickbridge_missing(zstd libzstd-dev)
endif()
if(NOT TARGET tickbridge_zstd)
  add_library(tickbridge_zstd INTERFACE IMPORTED GLOBAL)
  target_link_libraries(tickbridge_zstd INTERFACE PkgConfig::TICKBRIDGE_ZSTD)
endif()


if(NOT TICKBRIDGE_BUILD_BENCH)
  return()
endif()
# What only a benchmark compares with.
# <concurrentqueue.h> in every layout, Debian's and upstream's; Debian's also has <concurrentqueue/concurrentqueue.h>.
find_path(TICKBRIDGE_CONCURRENTQUEUE_DIR concurrentqueue.h
          PATH_SUFFIXES concurrentqueue concurrentqueue/moodycamel moodycamel)
mark_as_advanced(TICKBRIDGE_CONCURRENTQUEUE_DIR)
if(NOT TICKBRIDGE_CONCURRENTQUEUE_DIR)
  _tickbridge_missing("moodycamel's ConcurrentQueue" libconcurrentqueue-dev)
endif()
if(NOT TARGET tickbridge_concurrentqueue)
  cmake_path(GET TICKBRIDGE_CONCURRENTQUEUE_DIR PARENT_PATH _tickbridge_include)
  add_library(tickbridge_concurrentqueue INTERFACE IMPORTED GLOBAL)
  target_include_directories(tickbridge_concurrentqueue INTERFACE
    ${TICKBRIDGE_CONCURRENTQUEUE_DIR} ${_tickbridge_include})
endif()
