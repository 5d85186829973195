# SPDX-License-Identifier: Apache-2.0
# tracer_module(NAME FLOOR n [DEPENDS other…] [LIBRARIES external…])
#
# A folder of user/ is one static library and one floor of the house. It may depend on modules of a lower
# floor only (see docs/architecture.md); anything else fails the configure step.
function(tracer_module name)
  cmake_parse_arguments(ARG "" "FLOOR" "DEPENDS;LIBRARIES" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/user/${name}/*.cpp)
  list(FILTER sources EXCLUDE REGEX "/main\\.cpp$")
  add_library(tracer_${name} STATIC ${sources})
  target_include_directories(tracer_${name} PUBLIC ${CMAKE_CURRENT_SOURCE_DIR}/user)
  target_include_directories(tracer_${name} PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
  target_link_libraries(tracer_${name} PRIVATE tracer_warnings)
  set_target_properties(tracer_${name} PROPERTIES TRACER_FLOOR ${ARG_FLOOR})
  foreach(dependency IN LISTS ARG_DEPENDS)
    get_target_property(floor tracer_${dependency} TRACER_FLOOR)
    if(NOT floor LESS ${ARG_FLOOR})
      message(FATAL_ERROR "module ${name} (floor ${ARG_FLOOR}) may not depend on ${dependency} (floor ${floor})")
    endif()
    target_link_libraries(tracer_${name} PUBLIC tracer_${dependency})
  endforeach()
  target_link_libraries(tracer_${name} PUBLIC ${ARG_LIBRARIES})
endfunction()
