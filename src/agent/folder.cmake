# The client's tests speak to the real agent.
if(TARGET agent_test AND TARGET wrenn-init)
  target_compile_definitions(agent_test PRIVATE WRENN_INIT_PROGRAM="$<TARGET_FILE:wrenn-init>")
  add_dependencies(agent_test wrenn-init)
endif()
