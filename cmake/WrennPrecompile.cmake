# Precompiled headers (WRENN_PRECOMPILE): what most files read, which is half of the time to compile one.
# For the preset "asan", which CI makes anew. Not for the others, which so show what does not include what
# it uses.
#
# wrenn_precompiled(TARGET) has a target read them; those that link GoogleTest get its headers, too.
function(wrenn_precompiled target)
  if(NOT WRENN_PRECOMPILE)
    return()
  endif()
  get_target_property(libraries ${target} LINK_LIBRARIES)
  if("${libraries}" MATCHES "GTest::")
    target_precompile_headers(${target} REUSE_FROM wrenn_precompiled_tests)
  else()
    target_precompile_headers(${target} REUSE_FROM wrenn_precompiled)
  endif()
endfunction()

if(WRENN_PRECOMPILE)
  set(headers <boost/json.hpp> <fmt/format.h> <tl/expected.hpp> <algorithm> <atomic> <chrono>
      <condition_variable> <deque> <functional> <future> <map> <memory> <mutex> <optional> <set> <string>
      <string_view> <thread> <vector>)
  file(WRITE "${CMAKE_BINARY_DIR}/precompiled.cc" "")
  foreach(name IN ITEMS wrenn_precompiled wrenn_precompiled_tests)
    add_library(${name} OBJECT "${CMAKE_BINARY_DIR}/precompiled.cc")
    target_compile_definitions(${name} PRIVATE BOOST_JSON_NO_LIB BOOST_CONTAINER_NO_LIB SPDLOG_FMT_EXTERNAL)
    target_precompile_headers(${name} PRIVATE ${headers})
  endforeach()
  if(WRENN_BUILD_TESTS)
    target_link_libraries(wrenn_precompiled_tests PRIVATE GTest::gmock)
    target_precompile_headers(wrenn_precompiled_tests PRIVATE <gmock/gmock.h> <gtest/gtest.h>)
  endif()
  # They define what others declare, in their own order.
  set_source_files_properties(
    "${CMAKE_SOURCE_DIR}/src/base/fmt_impl.cc" "${CMAKE_SOURCE_DIR}/src/base/json_impl.cc"
    PROPERTIES SKIP_PRECOMPILE_HEADERS ON)
endif()
