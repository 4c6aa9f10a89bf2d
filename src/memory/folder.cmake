# A test compares with the reader that was written from docs/snapshot-format.md.
if(TARGET memory_test)
  target_compile_definitions(memory_test PRIVATE
    WRENN_READ_SNAPSHOT="${CMAKE_SOURCE_DIR}/tests/tools/read_snapshot.py"
    WRENN_IMAGE_CORPUS="${CMAKE_SOURCE_DIR}/tests/fuzz/corpus/image")
endif()
