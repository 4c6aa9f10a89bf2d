# A test compares the document's table of settings with the program's.
if(TARGET server_test)
  target_compile_definitions(server_test PRIVATE
    WRENN_OPERATIONS="${CMAKE_SOURCE_DIR}/docs/operations.md")
endif()
