target_link_libraries(wrenn_os PUBLIC OpenSSL::Crypto)

# What the tests start in jails: static, and never sanitized, since it is all that a jail holds.
if(TARGET os_test)
  add_executable(jail-probe "${CMAKE_CURRENT_LIST_DIR}/jail_probe/main.cc")
  target_compile_options(jail-probe PRIVATE -fno-sanitize=all)
  target_link_options(jail-probe PRIVATE -fno-sanitize=all -static-pie)
  foreach(test IN ITEMS os_test os_host_test)
    if(TARGET ${test})
      target_compile_definitions(${test} PRIVATE WRENN_JAIL_PROBE="$<TARGET_FILE:jail-probe>")
      add_dependencies(${test} jail-probe)
    endif()
  endforeach()
endif()
