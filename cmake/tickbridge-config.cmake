# SPDX-License-Identifier: Apache-2.0
set(TICKBRIDGE_LIBRARIES_ONLY ON)
include(${CMAKE_CURRENT_LIST_DIR}/dependencies.cmake)
include(${CMAKE_CURRENT_LIST_DIR}/tickbridge-targets.cmake)
