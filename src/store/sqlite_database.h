// SqliteDatabase: one connection to an SQLite file, its transactions and its prepared statements.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <type_traits>

#include <SQLiteCpp/SQLiteCpp.h>

#include "base/json.h"
#include "base/result.h"
#include "store/store.h"

namespace wrenn::store {

// A prepared statement in use: values are bound in the order of its question marks, and columns
// read in the order of its select list. Throws SQLite::Exception, as do the transactions that use
// it: it is SqliteDatabase that turns them into errors. Going away it resets the statement, which
// ends its read.
class Query {
 public:
  explicit Query(SQLite::Statement& statement) : statement_(statement) {}
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;
  ~Query();

  Query& Bind(const std::string& value);
  Query& Bind(std::string_view value) { return Bind(std::string(value)); }
  Query& Bind(const char* value) { return Bind(std::string(value)); }
  Query& Bind(int64_t value);
  Query& Bind(int value) { return Bind(static_cast<int64_t>(value)); }
  Query& Bind(Time value);
  Query& Bind(const std::optional<Time>& value);
  Query& Bind(const json::object& value);
  Query& Bind(const std::map<std::string, std::string>& value);

  // Moves to the next row; false behind the last one.
  bool Next();
  // Runs it to its end and answers how many rows it changed.
  int Run();

  std::string Text();
  int64_t Integer();
  int Int() { return static_cast<int>(Integer()); }
  Time TimePoint();
  std::optional<Time> OptionalTime();
  // Throws DamagedRecord when the text is not a JSON object (of strings).
  json::object Object();
  std::map<std::string, std::string> StringMap();

 private:
  SQLite::Statement& statement_;
  int parameter_ = 0;
  int column_ = 0;
};

// Thrown while a row is read that no version of this program wrote.
struct DamagedRecord {
  std::string what;
};

// Thread-safe: one thread at a time has the connection.
class SqliteDatabase {
 public:
  // Opens or makes the file and runs the migrations that it lacks. See OpenSqlite() for the errors.
  static Result<std::unique_ptr<SqliteDatabase>> Open(const std::string& path);

  // Runs `work` (which answers a Status or Result<T>) in a transaction that is committed if it
  // succeeds and undone if it fails or throws. A write transaction has the write lock from its
  // beginning, so what it reads cannot change before it writes.
  template <typename Work>
  auto Write(Work&& work, Durable durable = Durable::kNow) -> std::invoke_result_t<Work> {
    return Transact(SQLite::TransactionBehavior::IMMEDIATE, std::forward<Work>(work), durable);
  }
  template <typename Work>
  auto Read(Work&& work) -> std::invoke_result_t<Work> {
    return Transact(SQLite::TransactionBehavior::DEFERRED, std::forward<Work>(work), Durable::kNow);
  }

  // See Store::Sync().
  Status Sync() const;

  // Only within Write() or Read(). `sql` is a literal: it is prepared once.
  SQLite::Statement& Prepare(const char* sql);

 private:
  explicit SqliteDatabase(const std::string& path);
  Status Migrate();
  // The Error for the exception that is being handled.
  Error CaughtError();

  void SetDurable(Durable durable);

  template <typename Work>
  auto Transact(SQLite::TransactionBehavior behavior, Work&& work, Durable durable)
      -> std::invoke_result_t<Work> {
    std::lock_guard lock(mutex_);
    try {
      SetDurable(durable);
      SQLite::Transaction transaction(connection_, behavior);
      auto result = work();
      if (result) transaction.commit();
      return result;
    } catch (...) {
      return Fail(CaughtError());
    }
  }

  const std::string path_;
  std::mutex mutex_;
  SQLite::Database connection_;
  Durable durable_ = Durable::kSoon;                     // what the connection is set to
  std::map<const char*, SQLite::Statement> statements_;  // before connection_ in destruction
};

}  // namespace wrenn::store
