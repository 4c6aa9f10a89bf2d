target_link_libraries(wrenn_os PUBLIC OpenSSL::Crypto)
