# wrenn_folder(NAME [DEPS folder...]) declares src/NAME as the static library wrenn_NAME.
#
# Sources are every *.cc below the folder but main.cc, *_test.cc and *_fuzz.cc; tests are every
# *_test.cc, one GoogleTest program per folder, and another one of every *_host_test.cc, whose tests run
# in the emulated host (tests/host/run). The suite NameScaleTest of a name_scale_test.cc makes hundreds of
# something, and may take minutes on a busy machine. A header is included as "folder/file.h". Each library
# offers only its own folder (through a directory that holds one symbolic link), so what is not in
# DEPS cannot be included. DEPS may only name folders declared before: the order is the layering.
function(wrenn_folder name)
  cmake_parse_arguments(ARG "" "" "DEPS" ${ARGN})
  set(dir "${CMAKE_SOURCE_DIR}/src/${name}")
  set(view "${CMAKE_BINARY_DIR}/include/${name}")
  file(MAKE_DIRECTORY "${view}")
  file(CREATE_LINK "${dir}" "${view}/${name}" SYMBOLIC)

  file(GLOB_RECURSE sources CONFIGURE_DEPENDS "${dir}/*.cc")
  set(tests ${sources})
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  set(host_tests ${tests})
  list(FILTER host_tests INCLUDE REGEX "_host_test\\.cc$")
  list(FILTER tests EXCLUDE REGEX "_host_test\\.cc$")
  list(FILTER sources EXCLUDE REGEX "(_test|_fuzz|/main)\\.cc$")
  if(NOT sources)
    add_library(wrenn_${name} INTERFACE)
    set(scope INTERFACE)
  else()
    add_library(wrenn_${name} STATIC ${sources})
    wrenn_precompiled(wrenn_${name})
    set(scope PUBLIC)
  endif()
  target_include_directories(wrenn_${name} ${scope} "${view}")
  foreach(dep IN LISTS ARG_DEPS)
    if(NOT TARGET wrenn_${dep})
      message(FATAL_ERROR "src/${name} may not depend on src/${dep}: it is not below it")
    endif()
    target_link_libraries(wrenn_${name} ${scope} wrenn_${dep})
  endforeach()

  if(WRENN_BUILD_TESTS AND tests)
    add_executable(${name}_test ${tests})
    target_link_libraries(${name}_test PRIVATE wrenn_${name} GTest::gmock GTest::gtest_main)
    wrenn_precompiled(${name}_test)
    gtest_discover_tests(${name}_test TEST_PREFIX "${name}." DISCOVERY_MODE PRE_TEST
                         TEST_FILTER "-*ScaleTest.*" PROPERTIES LABELS unit TIMEOUT 120)
    if("${tests}" MATCHES "_scale_test\\.cc")
      gtest_discover_tests(${name}_test TEST_PREFIX "${name}." DISCOVERY_MODE PRE_TEST
                           TEST_FILTER "*ScaleTest.*" PROPERTIES LABELS unit TIMEOUT 600)
    endif()
  endif()
  if(WRENN_BUILD_TESTS AND host_tests AND NOT WRENN_SANITIZE)
    add_executable(${name}_host_test ${host_tests} "${CMAKE_SOURCE_DIR}/tests/host/main.cc")
    target_link_libraries(${name}_host_test PRIVATE wrenn_${name} GTest::gmock)
    wrenn_precompiled(${name}_host_test)
    add_dependencies(programs ${name}_host_test)
    gtest_discover_tests(${name}_host_test TEST_PREFIX "${name}." DISCOVERY_MODE PRE_TEST
                         PROPERTIES LABELS host TIMEOUT 300)
  endif()
endfunction()
