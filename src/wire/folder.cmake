# The static library, since the guest's program is linked statically and shares this folder.
target_link_libraries(wrenn_wire PUBLIC ${NGHTTP2_STATIC})
target_compile_definitions(wrenn_wire PRIVATE NGHTTP2_STATICLIB)
