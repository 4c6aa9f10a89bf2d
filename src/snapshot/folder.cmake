target_link_libraries(wrenn_snapshot PRIVATE PkgConfig::ARCHIVE PkgConfig::ZSTD)

# A test compares with the reader that was written from docs/snapshot-format.md.
if(TARGET snapshot_test)
  target_compile_definitions(snapshot_test PRIVATE
    WRENN_READ_SNAPSHOT="${CMAKE_SOURCE_DIR}/tests/tools/read_snapshot.py"
    WRENN_MANIFEST_CORPUS="${CMAKE_SOURCE_DIR}/tests/fuzz/corpus/manifest")
endif()
