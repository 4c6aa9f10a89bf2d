target_link_libraries(wrenn_api PUBLIC OpenSSL::Crypto PRIVATE ${WSLAY_LIBRARY})

# The API's description and the test console are part of the program. CMake configures anew when they
# change.
function(wrenn_read variable)
  set(all "")
  foreach(name IN LISTS ARGN)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/src/api/${name}")
    file(READ "${CMAKE_SOURCE_DIR}/src/api/${name}" text)
    string(APPEND all "${text}")
  endforeach()
  set(${variable} "${all}" PARENT_SCOPE)
endfunction()
wrenn_read(WRENN_OPENAPI openapi.yaml)
wrenn_read(WRENN_CONSOLE_HTML console/console.html)
wrenn_read(WRENN_CONSOLE_STYLE console/console.css)
wrenn_read(WRENN_CONSOLE_SCRIPT console/client.js console/view.js console/actions.js)
configure_file("${CMAKE_CURRENT_LIST_DIR}/embedded.cc.in" "${CMAKE_BINARY_DIR}/api_embedded.cc" @ONLY)
target_sources(wrenn_api PRIVATE "${CMAKE_BINARY_DIR}/api_embedded.cc")

# Its tests run the routes against a real agent, as a process on this machine.
if(TARGET api_test)
  target_compile_definitions(api_test PRIVATE WRENN_INIT_PROGRAM="$<TARGET_FILE:wrenn-init>")
  add_dependencies(api_test wrenn-init)
endif()
if(WRENN_BUILD_TESTS)
  add_test(NAME api.openapi COMMAND python3 "${CMAKE_SOURCE_DIR}/tests/e2e/openapi.py")
  set_tests_properties(api.openapi PROPERTIES LABELS unit TIMEOUT 60)
endif()
