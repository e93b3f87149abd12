# im_library(NAME SOURCES a.cc ... [DEPS target ...])      a static library of ours
# im_program(NAME SOURCES a.cc ... [DEPS target ...])      a program, in build/PRESET/bin
# im_test(NAME SOURCES a.cc ... [DEPS target ...] [ENVIRONMENT ...] [LABELS ...])   a GoogleTest, run by ctest
#
# A test is labelled in_process unless it has other labels: those that start our programs are labelled
# programs. The target in_process_tests builds the former.
#
# Headers are included from the top of the tree: #include "common/base/error.h".

if(IM_SANITIZE MATCHES thread)
  add_library(im_libraries_order OBJECT
    ${CMAKE_SOURCE_DIR}/tests/sanitizers/abseil_mutex.cc
    ${CMAKE_SOURCE_DIR}/tests/sanitizers/grpc_calls.cc)
  target_link_libraries(im_libraries_order absl::synchronization PkgConfig::GRPCPP)
endif()

function(im_target name)
  cmake_parse_arguments(ARG "" "" "DEPS" ${ARGN})
  target_include_directories(${name} PUBLIC ${CMAKE_SOURCE_DIR})
  target_compile_options(${name} PRIVATE ${IM_WARNINGS})
  target_link_libraries(${name} PUBLIC ${ARG_DEPS} Threads::Threads)
  get_target_property(type ${name} TYPE)
  if(TARGET im_libraries_order AND type STREQUAL EXECUTABLE)
    target_sources(${name} PRIVATE $<TARGET_OBJECTS:im_libraries_order>)
    target_link_libraries(${name} PRIVATE absl::synchronization PkgConfig::GRPCPP)
  endif()
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

add_custom_target(in_process_tests)

# What tests need beyond their own, when they are built with a sanitizer, which makes them slow: a
# finding ends the process, and what is not ours to mend is passed over, by name.
set(IM_TEST_TIME_FACTOR 1)
set(IM_TEST_ENVIRONMENT)
if(IM_SANITIZE)
  set(IM_TEST_TIME_FACTOR 4)
  set(suppressions ${CMAKE_SOURCE_DIR}/tests/sanitizers)
  set(IM_TEST_ENVIRONMENT
    ASAN_OPTIONS=detect_stack_use_after_return=1
    LSAN_OPTIONS=suppressions=${suppressions}/lsan.supp:print_suppressions=0
    UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
    TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1:suppressions=${suppressions}/tsan.supp)
endif()

function(im_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;DEPS;ENVIRONMENT;LABELS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  im_target(${name} DEPS ${ARG_DEPS} GTest::gmock GTest::gtest_main)
  # GoogleMock's templates take long to optimise, and gain nothing by it.
  target_compile_options(${name} PRIVATE -O0)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  add_test(NAME ${name} COMMAND ${name})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  math(EXPR ARG_TIMEOUT "${ARG_TIMEOUT} * ${IM_TEST_TIME_FACTOR}")
  if(NOT ARG_LABELS)
    set(ARG_LABELS in_process)
    add_dependencies(in_process_tests ${name})
  endif()
  set_tests_properties(${name} PROPERTIES
    TIMEOUT ${ARG_TIMEOUT} ENVIRONMENT "${ARG_ENVIRONMENT};${IM_TEST_ENVIRONMENT}" LABELS "${ARG_LABELS}")
endfunction()
