# The list of packages of the template `base` is part of the program.
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS
             "${CMAKE_SOURCE_DIR}/templates/base.packages")
file(READ "${CMAKE_SOURCE_DIR}/templates/base.packages" WRENN_BASE_PACKAGES)
configure_file("${CMAKE_SOURCE_DIR}/src/template/base_packages.cc.in"
               "${CMAKE_BINARY_DIR}/generated/base_packages.cc" @ONLY)
target_sources(wrenn_template PRIVATE "${CMAKE_BINARY_DIR}/generated/base_packages.cc")

target_link_libraries(wrenn_template PRIVATE PkgConfig::LZ4 PkgConfig::LZMA PkgConfig::ZSTD
                      PkgConfig::ARCHIVE ZLIB::ZLIB)
