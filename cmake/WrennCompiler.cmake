# Language level, warnings and sanitizers: the same for every target.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE OFF)

# Line tables are what stack traces need; whole debug information made the program 190 MB.
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g1 -DNDEBUG")

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Build type" FORCE)
endif()

add_compile_options(-Wall -Wextra -Wshadow -ffunction-sections -fdata-sections)
add_link_options(-Wl,--gc-sections)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # g++ 12 sees uninitialised strings in every Result<std::string> and overlaps in assignments of
  # literals to strings; clang-tidy covers the real ones.
  add_compile_options(-Wno-maybe-uninitialized -Wno-restrict)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-Werror=zero-as-null-pointer-constant>)
endif()
if(WRENN_WERROR)
  add_compile_options(-Werror)
endif()
if(NOT WRENN_SANITIZE)
  # For a fault that all else missed: both programs read what others wrote. -fPIE is Debian's default,
  # but the static programs need it whatever the default is. _FORTIFY_SOURCE needs an optimiser.
  add_compile_options(-fPIE -fstack-protector-strong
                      $<$<NOT:$<CONFIG:Debug>>:-U_FORTIFY_SOURCE> $<$<NOT:$<CONFIG:Debug>>:-D_FORTIFY_SOURCE=2>)
  add_link_options(-Wl,-z,relro,-z,now)
endif()
if(WRENN_SANITIZE)
  add_compile_definitions(WRENN_SANITIZED)  # for tests that measure memory
  add_compile_options(-fsanitize=${WRENN_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${WRENN_SANITIZE})
endif()

if(WRENN_BUILD_FUZZERS)
  # So that libFuzzer sees which parts of the libraries an input reaches.
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

# Paths are taken relative to the source tree, so that all build directories and clones share results.
find_program(WRENN_CCACHE ccache)
if(WRENN_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # What ccache asks for to keep results with precompiled headers (its manual, "Precompiled headers").
  set(launcher "${CMAKE_COMMAND}" -E env "CCACHE_BASEDIR=${CMAKE_SOURCE_DIR}" CCACHE_NOHASHDIR=1
               CCACHE_SLOPPINESS=pch_defines,time_macros "${WRENN_CCACHE}")
  if(WRENN_PRECOMPILE AND CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    add_compile_options("SHELL:-Xclang -fno-pch-timestamp")
  endif()
  set(CMAKE_CXX_COMPILER_LAUNCHER "${launcher}")
  set(CMAKE_C_COMPILER_LAUNCHER "${launcher}")
endif()
