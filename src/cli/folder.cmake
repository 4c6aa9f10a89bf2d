# The command `wrenn`, beside wrenn-init in the build directory.
find_package(CLI11 REQUIRED)
target_link_libraries(wrenn_cli PUBLIC CLI11::CLI11 PkgConfig::ARCHIVE)
target_compile_definitions(wrenn_cli PRIVATE WRENN_VERSION="${PROJECT_VERSION}")

add_executable(wrenn "${CMAKE_CURRENT_SOURCE_DIR}/cli/main.cc")
target_link_libraries(wrenn PRIVATE wrenn_cli)
