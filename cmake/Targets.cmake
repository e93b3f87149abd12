# im_library(NAME SOURCES a.cc ... [DEPS target ...])      a static library of ours
# im_program(NAME SOURCES a.cc ... [DEPS target ...])      a program, in build/PRESET/bin
# im_test(NAME SOURCES a.cc ... [DEPS target ...] [ENVIRONMENT ...] [LABELS ...])   a GoogleTest, run by ctest
#
# Headers are included from the top of the tree: #include "common/base/error.h".

function(im_target name)
  cmake_parse_arguments(ARG "" "" "DEPS" ${ARGN})
  target_include_directories(${name} PUBLIC ${CMAKE_SOURCE_DIR})
  target_compile_options(${name} PRIVATE ${IM_WARNINGS})
  target_link_libraries(${name} PUBLIC ${ARG_DEPS} Threads::Threads)
endfunction()

function(im_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  im_target(${name} DEPS ${ARG_DEPS})
endfunction()

function(im_program name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  im_target(${name} DEPS ${ARG_DEPS})
endfunction()

function(im_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;DEPS;ENVIRONMENT;LABELS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  im_target(${name} DEPS ${ARG_DEPS} GTest::gmock GTest::gtest_main)
  # GoogleMock's templates take long to optimise, and gain nothing by it.
  target_compile_options(${name} PRIVATE $<$<CONFIG:Release>:-O0>)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  add_test(NAME ${name} COMMAND ${name})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT} ENVIRONMENT "${ARG_ENVIRONMENT}" LABELS "${ARG_LABELS}")
endfunction()
