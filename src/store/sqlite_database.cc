#include "store/sqlite_database.h"

#include <fcntl.h>
#include <sqlite3.h>

#include <cerrno>
#include <filesystem>

#include "os/file_lock.h"
#include "store/sqlite_schema.h"

namespace wrenn::store {
namespace {

// How long a call waits for another process's transaction.
constexpr int kBusyTimeoutMs = 10'000;

int64_t ToMicroseconds(Time time) {
  return std::chrono::floor<std::chrono::microseconds>(time.time_since_epoch()).count();
}

Time FromMicroseconds(int64_t count) { return Time(std::chrono::microseconds(count)); }

// Made here, because SQLite would make it (and with it the -wal and -shm beside it) readable to
// all. O_EXCL also because closing a descriptor of an existing database would drop the POSIX locks
// that another connection of this process has on it
// (https://www.sqlite.org/howtocorrupt.html, 2.2).
Status MakePrivateFile(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd && errno != EEXIST) return Fail(ErrnoError("cannot make the database '" + path + "'"));
  return {};
}

Error ErrorOfSqlite(int code, int extended, int system_errno) {
  switch (code) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return {Code::kUnavailable, "the database is in use by another process: try again", {}};
    case SQLITE_FULL:
      return {Code::kResourceExhausted,
              "the disk that holds the database is full: free some space",
              {}};
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return {Code::kDataLoss, "the database is damaged: restore it from a backup", {}};
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return {Code::kPermissionDenied,
              "the database cannot be opened for writing: check the owner and mode of its folder",
              {}};
    case SQLITE_CONSTRAINT:
      if (extended == SQLITE_CONSTRAINT_FOREIGNKEY) return {Code::kNotFound, "no such sandbox", {}};
      return {Code::kAlreadyExists, "a record of this id or name exists already", {}};
    case SQLITE_IOERR:
      // The shared-memory file is the one place where a full disk is not reported as SQLITE_FULL.
      if (system_errno == ENOSPC || system_errno == EDQUOT || extended == SQLITE_IOERR_SHMSIZE) {
        return ErrorOfSqlite(SQLITE_FULL, extended, system_errno);
      }
      return {Code::kInternal, "the database cannot be read or written: check its disk", {}};
    case SQLITE_NOMEM:
      return {Code::kResourceExhausted, "out of memory", {}};
    default:
      return {Code::kInternal, "the database refused a request", {}};
  }
}

}  // namespace

Query::~Query() {
  statement_.tryReset();  // repeats the error that has been thrown already
  try {
    statement_.clearBindings();
  } catch (const std::exception&) {
    // Harmless: each use binds all parameters anew.
  }
}

Query& Query::Bind(const std::string& value) {
  statement_.bind(++parameter_, value);
  return *this;
}

Query& Query::Bind(int64_t value) {
  statement_.bind(++parameter_, value);
  return *this;
}

Query& Query::Bind(Time value) { return Bind(ToMicroseconds(value)); }

Query& Query::Bind(const std::optional<Time>& value) {
  if (value) return Bind(*value);
  statement_.bind(++parameter_);
  return *this;
}

Query& Query::Bind(const json::object& value) { return Bind(json::serialize(value)); }

Query& Query::Bind(const std::map<std::string, std::string>& value) {
  json::object object;
  for (const auto& [key, text] : value) object[key] = text;
  return Bind(object);
}

bool Query::Next() {
  column_ = 0;
  return statement_.executeStep();
}

int Query::Run() { return statement_.exec(); }

std::string Query::Text() { return statement_.getColumn(column_++).getString(); }

int64_t Query::Integer() { return statement_.getColumn(column_++).getInt64(); }

Time Query::TimePoint() { return FromMicroseconds(Integer()); }

std::optional<Time> Query::OptionalTime() {
  if (statement_.getColumn(column_).isNull()) {
    ++column_;
    return std::nullopt;
  }
  return TimePoint();
}

json::object Query::Object() {
  auto object = ParseJsonObject(Text());
  if (!object) throw DamagedRecord{object.error().message};
  return std::move(*object);
}

std::map<std::string, std::string> Query::StringMap() {
  std::map<std::string, std::string> map;
  for (const auto& [key, value] : Object()) {
    if (!value.is_string()) throw DamagedRecord{"a map holds something else than strings"};
    map.emplace(std::string(key), std::string(value.get_string()));
  }
  return map;
}

SqliteDatabase::SqliteDatabase(const std::string& path)
    : path_(path),
      connection_(path, SQLite::OPEN_READWRITE | SQLite::OPEN_NOFOLLOW, kBusyTimeoutMs) {
  // Extended codes tell a duplicate from a missing parent.
  ::sqlite3_extended_result_codes(connection_.getHandle(), 1);
}

Result<std::unique_ptr<SqliteDatabase>> SqliteDatabase::Open(const std::string& path) {
  // One opener at a time: a change to WAL mode does not wait for locks as other statements do.
  ASSIGN_OR_RETURN([[maybe_unused]] const auto lock, os::FileLock::Acquire(path + ".lock"));
  RETURN_IF_ERROR(MakePrivateFile(path));
  // NOFOLLOW is for the file alone, but SQLite refuses links in the folder's path too.
  std::error_code lost;
  const std::filesystem::path named(path);
  const auto folder = std::filesystem::canonical(named.parent_path(), lost);
  if (lost) return Fail(Code::kNotFound, "cannot open '{}': {}", path, lost.message());
  std::unique_ptr<SqliteDatabase> database;
  try {
    database.reset(new SqliteDatabase((folder / named.filename()).string()));
  } catch (const SQLite::Exception& exception) {
    Error error =
        ErrorOfSqlite(exception.getErrorCode() & 0xFF, exception.getExtendedErrorCode(), 0);
    error.detail = exception.what();
    return Fail(error.WithContext("cannot open '" + path + "'"));
  }
  if (auto migrated = database->Migrate(); !migrated) {
    return Fail(migrated.error().WithContext("cannot open '" + path + "'"));
  }
  return database;
}

Status SqliteDatabase::Migrate() {
  try {
    connection_.exec("PRAGMA journal_mode = WAL");
    connection_.exec("PRAGMA foreign_keys = ON");
  } catch (...) {
    return Fail(CaughtError());
  }
  // The version is read in the transaction that raises it, so that of two processes one migrates.
  for (const Migration& step : kMigrations) {
    RETURN_IF_ERROR(Write([&]() -> Status {
      const int version = connection_.execAndGet("PRAGMA user_version").getInt();
      if (version > kSchemaVersion) {
        return Fail(
            Code::kFailedPrecondition,
            "the database is of a newer wrenn (schema {}; this one knows {}): upgrade wrenn",
            version, kSchemaVersion);
      }
      if (step.number <= version) return {};
      connection_.exec(step.sql);
      connection_.exec(fmt::format("PRAGMA user_version = {}", step.number));
      return {};
    }));
  }
  return {};
}

// With a write-ahead log NORMAL leaves out the wait at the end of a transaction, and nothing else:
// https://www.sqlite.org/pragma.html#pragma_synchronous
void SqliteDatabase::SetDurable(Durable durable) {
  if (durable == durable_) return;
  connection_.exec(durable == Durable::kNow ? "PRAGMA synchronous = FULL"
                                            : "PRAGMA synchronous = NORMAL");
  durable_ = durable;
}

// What has been committed is in the log (https://www.sqlite.org/walformat.html). SQLite's locks are
// on other files, so that the descriptor may be closed.
Status SqliteDatabase::Sync() const {
  const std::string log = path_ + "-wal";
  UniqueFd fd(::open(log.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd || ::fdatasync(fd.get()) < 0) {
    return Fail(ErrnoError(fmt::format("cannot sync '{}'", log)));
  }
  return {};
}

SQLite::Statement& SqliteDatabase::Prepare(const char* sql) {
  auto found = statements_.find(sql);
  if (found == statements_.end()) {
    found = statements_.try_emplace(sql, connection_, sql).first;
  }
  return found->second;
}

Error SqliteDatabase::CaughtError() {
  try {
    throw;
  } catch (const SQLite::Exception& exception) {
    // With extended result codes on, the "code" is the extended one.
    Error error = ErrorOfSqlite(exception.getErrorCode() & 0xFF, exception.getExtendedErrorCode(),
                                ::sqlite3_system_errno(connection_.getHandle()));
    error.detail = exception.what();
    return error;
  } catch (const DamagedRecord& damaged) {
    return {Code::kDataLoss, "the database holds a damaged record", damaged.what};
  } catch (const std::exception& exception) {
    return {Code::kInternal, "the database cannot be used", exception.what()};
  }
}

}  // namespace wrenn::store
