target_link_libraries(wrenn_store PUBLIC "${SQLITECPP_LIBRARY}" PkgConfig::SQLITE3)
