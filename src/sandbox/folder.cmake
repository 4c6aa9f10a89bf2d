# The lifecycle is also tested with the real agent, as an ordinary process.
if(TARGET sandbox_test AND TARGET wrenn-init)
  target_compile_definitions(sandbox_test PRIVATE WRENN_INIT_PROGRAM="$<TARGET_FILE:wrenn-init>")
  add_dependencies(sandbox_test wrenn-init)
endif()
