target_link_libraries(wrenn_snapshot PRIVATE PkgConfig::ARCHIVE PkgConfig::ZSTD)
