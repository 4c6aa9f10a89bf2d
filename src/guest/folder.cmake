# wrenn-init: one static program, small, with no need of anything in the guest's image. With sanitizers
# it is dynamic, since they are, and then only good for tests.
target_link_libraries(wrenn_guest PUBLIC ${ZLIB_STATIC})
target_compile_definitions(wrenn_guest PUBLIC WRENN_VERSION="${PROJECT_VERSION}")

add_executable(wrenn-init ${CMAKE_CURRENT_SOURCE_DIR}/guest/main.cc)
target_link_libraries(wrenn-init PRIVATE wrenn_guest)
if(NOT WRENN_SANITIZE)
  target_compile_options(wrenn_guest PRIVATE -Os)
  target_link_options(wrenn-init PRIVATE -static-pie -s)
endif()

if(TARGET guest_test)
  target_compile_definitions(guest_test PRIVATE WRENN_INIT_PROGRAM="$<TARGET_FILE:wrenn-init>")
  add_dependencies(guest_test wrenn-init)
endif()
