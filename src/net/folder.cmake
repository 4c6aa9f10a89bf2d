# wrenn-egress: the packet filter in front of a machine's user-mode network, a small process per machine.
# Static, so that one costs well under a megabyte; from the few sources it needs, since the rest of net/
# brings shared libraries with it.
add_executable(wrenn-egress "${CMAKE_CURRENT_LIST_DIR}/main.cc"
               "${CMAKE_CURRENT_LIST_DIR}/frame_filter.cc" "${CMAKE_CURRENT_LIST_DIR}/frame_relay.cc")
target_include_directories(wrenn-egress PRIVATE "${CMAKE_BINARY_DIR}/include/net")
target_link_libraries(wrenn-egress PRIVATE wrenn_base)
if(NOT WRENN_SANITIZE)
  target_link_options(wrenn-egress PRIVATE -static-pie -s)
endif()

if(TARGET net_test)
  add_dependencies(net_test wrenn-egress)
endif()
