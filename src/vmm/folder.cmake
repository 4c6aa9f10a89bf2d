# What is preloaded into older versions of QEMU. It becomes a part of the program, so that the two are of
# one build; never sanitized, since QEMU is not.
set(readonly_memory "${CMAKE_BINARY_DIR}/wrenn-readonly-memory.so")
add_library(wrenn-readonly-memory MODULE "${CMAKE_CURRENT_LIST_DIR}/qemu/readonly_memory/main.cc")
set_target_properties(wrenn-readonly-memory PROPERTIES PREFIX "" LINKER_LANGUAGE C
                      LIBRARY_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}")
target_compile_options(wrenn-readonly-memory PRIVATE -fPIC -fno-exceptions -fno-sanitize=all
                       -fno-stack-protector -U_FORTIFY_SOURCE)
target_link_options(wrenn-readonly-memory PRIVATE -fno-sanitize=all -s
                    -Wl,--as-needed)  # no C++ library, which QEMU may do without
add_dependencies(wrenn_vmm wrenn-readonly-memory)
set_source_files_properties("${CMAKE_CURRENT_LIST_DIR}/qemu/jailed_qemu.cc" TARGET_DIRECTORY wrenn_vmm
  PROPERTIES COMPILE_DEFINITIONS "WRENN_READONLY_MEMORY=\"${readonly_memory}\""
             OBJECT_DEPENDS "${readonly_memory}")
