#include <utility>

#include "store/sqlite_database.h"
#include "store/store.h"

namespace wrenn::store {
namespace {

Time Now() { return std::chrono::system_clock::now(); }

// The columns in the order in which ReadSandbox() reads and the statements below bind them.
#define SANDBOX_COLUMNS                                                                         \
  "id, tenant, created_at, version, state, reason, template_name, template_id, image, kernel, " \
  "disk_backend, disk, snapshot, origin, vcpus, memory_mb, disk_mb, timeout_sec, on_timeout, "  \
  "auto_resume, egress, network, envs, metadata, agent_token, "                                 \
  "engine, machine, started_at, ended_at, last_active_at, updated_at"
#define EVENT_COLUMNS "sequence, sandbox_id, time, kind, phase, message, details"
#define TEMPLATE_COLUMNS                                                                   \
  "id, tenant, version, name, type, image, kernel, recipe, snapshot, description, vcpus, " \
  "memory_mb, size_bytes, created_at, updated_at"
#define KEY_COLUMNS "id, tenant, version, name, hash, hint, created_at, last_used_at"

SandboxRecord ReadSandbox(Query& row) {
  SandboxRecord r;
  r.id = row.Text();
  r.tenant = row.Text();
  r.created_at = row.TimePoint();
  r.version = row.Integer();
  const std::string name = row.Text();
  auto state = ParseState(name);
  if (!state) throw DamagedRecord{"sandbox '" + r.id + "': " + state.error().message};
  r.state = *state;
  r.reason = row.Text();
  r.template_name = row.Text();
  r.template_id = row.Text();
  r.image = row.Text();
  r.kernel = row.Text();
  r.disk_backend = row.Text();
  r.disk = row.Object();
  r.snapshot = row.Text();
  r.origin = row.Text();
  r.vcpus = row.Int();
  r.memory_mb = row.Int();
  r.disk_mb = row.Int();
  r.timeout_sec = row.Integer();
  r.on_timeout = row.Text();
  r.auto_resume = row.Integer() != 0;
  r.egress = row.Integer() != 0;
  r.network = row.Object();
  r.envs = row.StringMap();
  r.metadata = row.StringMap();
  r.agent_token = row.Text();
  r.engine = row.Text();
  r.machine = row.Object();
  r.started_at = row.OptionalTime();
  r.ended_at = row.OptionalTime();
  r.last_active_at = row.OptionalTime();
  r.updated_at = row.TimePoint();
  return r;
}

// Binds what UpdateSandbox() may change: the columns from `version` on.
void BindChangeable(Query& query, const SandboxRecord& r, int64_t version, Time now) {
  query.Bind(version).Bind(StateName(r.state)).Bind(r.reason);
  query.Bind(r.template_name).Bind(r.template_id).Bind(r.image).Bind(r.kernel);
  query.Bind(r.disk_backend).Bind(r.disk).Bind(r.snapshot).Bind(r.origin);
  query.Bind(r.vcpus).Bind(r.memory_mb).Bind(r.disk_mb).Bind(r.timeout_sec).Bind(r.on_timeout);
  query.Bind(int{r.auto_resume})
      .Bind(int{r.egress})
      .Bind(r.network)
      .Bind(r.envs)
      .Bind(r.metadata)
      .Bind(r.agent_token)
      .Bind(r.engine)
      .Bind(r.machine);
  query.Bind(r.started_at).Bind(r.ended_at).Bind(r.last_active_at).Bind(now);
}

EventRecord ReadEvent(Query& row) {
  EventRecord r;
  r.sequence = row.Integer();
  r.sandbox_id = row.Text();
  r.time = row.TimePoint();
  r.kind = row.Text();
  r.phase = row.Text();
  r.message = row.Text();
  r.details = row.Object();
  return r;
}

TemplateRecord ReadTemplate(Query& row) {
  TemplateRecord r;
  r.id = row.Text();
  r.tenant = row.Text();
  r.version = row.Integer();
  r.name = row.Text();
  r.type = row.Text();
  r.image = row.Text();
  r.kernel = row.Text();
  r.recipe = row.Text();
  r.snapshot = row.Text();
  r.description = row.Text();
  r.vcpus = row.Int();
  r.memory_mb = row.Int();
  r.size_bytes = static_cast<uint64_t>(row.Integer());
  r.created_at = row.TimePoint();
  r.updated_at = row.TimePoint();
  return r;
}

KeyRecord ReadKey(Query& row) {
  KeyRecord r;
  r.id = row.Text();
  r.tenant = row.Text();
  r.version = row.Integer();
  r.name = row.Text();
  r.hash = row.Text();
  r.hint = row.Text();
  r.created_at = row.TimePoint();
  r.last_used_at = row.OptionalTime();
  return r;
}

class SqliteStore final : public Store {
 public:
  explicit SqliteStore(std::unique_ptr<SqliteDatabase> database) : db_(std::move(database)) {}

  Status AddSandbox(SandboxRecord& record, const EventRecord& event) override {
    constexpr int64_t kFirst = 1;
    const Time now = Now();
    const auto add = [&]() -> Status {
      Query insert(
          db_->Prepare("INSERT INTO sandboxes (" SANDBOX_COLUMNS
                       ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
                       "?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"));
      insert.Bind(record.id).Bind(record.tenant).Bind(record.created_at);
      BindChangeable(insert, record, kFirst, now);
      insert.Run();
      InsertEvent(event);
      return {};
    };
    RETURN_IF_ERROR(db_->Write(add, Durable::kSoon));
    record.version = kFirst;
    record.updated_at = now;
    return {};
  }

  Status UpdateSandbox(SandboxRecord& record, const EventRecord* event, Durable durable) override {
    const Time now = Now();
    const auto change = [&]() -> Status {
      Query update(db_->Prepare(
          "UPDATE sandboxes SET (version, state, reason, template_name, template_id, image, "
          "kernel, "
          "disk_backend, disk, snapshot, origin, vcpus, memory_mb, disk_mb, timeout_sec, "
          "on_timeout, auto_resume, egress, network, envs, metadata, agent_token, engine, machine, "
          "started_at, ended_at, "
          "last_active_at, updated_at) = "
          "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
          "WHERE id = ? AND version = ?"));
      BindChangeable(update, record, record.version + 1, now);
      update.Bind(record.id).Bind(record.version);
      if (update.Run() == 0) return WhyNotUpdated(record.id);
      if (event) InsertEvent(*event);
      return {};
    };
    RETURN_IF_ERROR(db_->Write(change, durable));
    ++record.version;
    record.updated_at = now;
    return {};
  }

  Status Sync() override { return db_->Sync(); }

  Status TouchSandboxes(const std::vector<Activity>& activities) override {
    if (activities.empty()) return {};
    return db_->Write([&]() -> Status {
      for (const Activity& activity : activities) {
        Query update(db_->Prepare("UPDATE sandboxes SET last_active_at = ? WHERE id = ?"));
        update.Bind(activity.last_active).Bind(activity.id).Run();
      }
      return {};
    });
  }

  Result<SandboxRecord> GetSandbox(const std::string& id) override {
    return db_->Read([&]() -> Result<SandboxRecord> {
      Query query(db_->Prepare("SELECT " SANDBOX_COLUMNS " FROM sandboxes WHERE id = ?"));
      if (!query.Bind(id).Next()) return NoSandbox(id);
      return ReadSandbox(query);
    });
  }

  Result<std::vector<SandboxRecord>> ListSandboxes(const std::string& tenant) override {
    return db_->Read([&] {
      Query query(db_->Prepare("SELECT " SANDBOX_COLUMNS
                               " FROM sandboxes WHERE tenant = ? ORDER BY created_at, id"));
      return ReadAll(query.Bind(tenant), ReadSandbox);
    });
  }

  Result<std::vector<SandboxRecord>> ListAllSandboxes() override {
    return db_->Read([&] {
      Query query(
          db_->Prepare("SELECT " SANDBOX_COLUMNS " FROM sandboxes ORDER BY created_at, id"));
      return ReadAll(query, ReadSandbox);
    });
  }

  Result<std::vector<SandboxRecord>> ListEndedSandboxes(Time time, int limit) override {
    return db_->Read([&] {
      Query query(db_->Prepare("SELECT " SANDBOX_COLUMNS
                               " FROM sandboxes WHERE ended_at IS NOT NULL AND ended_at < ? AND "
                               "state IN ('stopped', 'error') ORDER BY ended_at, id LIMIT ?"));
      return ReadAll(query.Bind(time).Bind(limit), ReadSandbox);
    });
  }

  Status RemoveSandbox(const std::string& id) override {
    return db_->Write([&]() -> Status {
      Query remove(db_->Prepare("DELETE FROM sandboxes WHERE id = ?"));
      if (remove.Bind(id).Run() == 0) return NoSandbox(id);
      return {};
    });
  }

  Status AddEvent(const EventRecord& event) override {
    return db_->Write([&]() -> Status {
      InsertEvent(event);
      return {};
    });
  }

  Result<std::vector<EventRecord>> ListEvents(const std::string& sandbox_id, int limit) override {
    return db_->Read([&] {
      Query query(db_->Prepare("SELECT " EVENT_COLUMNS " FROM (SELECT " EVENT_COLUMNS
                               " FROM events WHERE sandbox_id = ? ORDER BY sequence DESC LIMIT ?) "
                               "ORDER BY sequence"));
      return ReadAll(query.Bind(sandbox_id).Bind(limit), ReadEvent);
    });
  }

  Status PutTemplate(TemplateRecord& record, bool replace) override {
    int64_t version = 1;
    const Time now = Now();
    RETURN_IF_ERROR(db_->Write([&]() -> Status {
      {
        Query query(db_->Prepare("SELECT version FROM templates WHERE tenant = ? AND name = ?"));
        if (query.Bind(record.tenant).Bind(record.name).Next()) {
          if (!replace) {
            return Fail(Code::kAlreadyExists, "there is a template '{}' already", record.name);
          }
          version = query.Integer() + 1;
        }
      }
      Query remove(db_->Prepare("DELETE FROM templates WHERE tenant = ? AND name = ?"));
      remove.Bind(record.tenant).Bind(record.name).Run();
      Query insert(db_->Prepare("INSERT INTO templates (" TEMPLATE_COLUMNS
                                ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"));
      insert.Bind(record.id).Bind(record.tenant).Bind(version).Bind(record.name);
      insert.Bind(record.type).Bind(record.image).Bind(record.kernel).Bind(record.recipe);
      insert.Bind(record.snapshot)
          .Bind(record.description)
          .Bind(record.vcpus)
          .Bind(record.memory_mb);
      insert.Bind(static_cast<int64_t>(record.size_bytes)).Bind(record.created_at).Bind(now);
      insert.Run();
      return {};
    }));
    record.version = version;
    record.updated_at = now;
    return {};
  }

  Result<TemplateRecord> FindTemplate(const std::string& tenant, const std::string& name) override {
    return db_->Read([&]() -> Result<TemplateRecord> {
      Query query(
          db_->Prepare("SELECT " TEMPLATE_COLUMNS " FROM templates WHERE tenant = ? AND name = ?"));
      if (!query.Bind(tenant).Bind(name).Next()) return NoTemplate(name);
      return ReadTemplate(query);
    });
  }

  Result<std::vector<TemplateRecord>> ListTemplates(const std::string& tenant) override {
    return db_->Read([&] {
      Query query(db_->Prepare("SELECT " TEMPLATE_COLUMNS
                               " FROM templates WHERE tenant = ? ORDER BY created_at, id"));
      return ReadAll(query.Bind(tenant), ReadTemplate);
    });
  }

  Result<std::vector<TemplateRecord>> ListAllTemplates() override {
    return db_->Read([&] {
      Query query(
          db_->Prepare("SELECT " TEMPLATE_COLUMNS " FROM templates ORDER BY created_at, id"));
      return ReadAll(query, ReadTemplate);
    });
  }

  Status RemoveTemplate(const std::string& tenant, const std::string& name) override {
    return db_->Write([&]() -> Status {
      Query remove(db_->Prepare("DELETE FROM templates WHERE tenant = ? AND name = ?"));
      if (remove.Bind(tenant).Bind(name).Run() == 0) return NoTemplate(name);
      return {};
    });
  }

  Status AddKey(const KeyRecord& record) override {
    return db_->Write([&]() -> Status {
      Query insert(db_->Prepare("INSERT INTO keys (" KEY_COLUMNS
                                ", updated_at) VALUES (?, ?, 1, ?, ?, ?, ?, ?, ?)"));
      insert.Bind(record.id).Bind(record.tenant).Bind(record.name).Bind(record.hash);
      insert.Bind(record.hint).Bind(record.created_at).Bind(record.last_used_at).Bind(Now());
      insert.Run();
      return {};
    });
  }

  Result<KeyRecord> FindKey(const std::string& hash) override {
    return db_->Read([&]() -> Result<KeyRecord> {
      Query query(db_->Prepare("SELECT " KEY_COLUMNS " FROM keys WHERE hash = ?"));
      if (!query.Bind(hash).Next()) return Fail(Code::kNotFound, "no such key");
      return ReadKey(query);
    });
  }

  Status TouchKey(const std::string& id, Time last_used) override {
    return db_->Write([&]() -> Status {
      Query update(db_->Prepare("UPDATE keys SET last_used_at = ? WHERE id = ?"));
      if (update.Bind(last_used).Bind(id).Run() == 0) return NoKey(id);
      return {};
    });
  }

  Result<std::vector<KeyRecord>> ListKeys(const std::string& tenant) override {
    return db_->Read([&] {
      Query query(db_->Prepare("SELECT " KEY_COLUMNS
                               " FROM keys WHERE tenant = ? ORDER BY created_at, id"));
      return ReadAll(query.Bind(tenant), ReadKey);
    });
  }

  Status RemoveKey(const std::string& id) override {
    return db_->Write([&]() -> Status {
      Query remove(db_->Prepare("DELETE FROM keys WHERE id = ?"));
      if (remove.Bind(id).Run() == 0) return NoKey(id);
      return {};
    });
  }

 private:
  template <typename Record>
  static Result<std::vector<Record>> ReadAll(Query& query, Record (*read)(Query&)) {
    std::vector<Record> records;
    while (query.Next()) records.push_back(read(query));
    return records;
  }

  static tl::unexpected<Error> NoSandbox(const std::string& id) {
    return Fail(Code::kNotFound, "no sandbox '{}'", id);
  }
  static tl::unexpected<Error> NoTemplate(const std::string& name) {
    return Fail(Code::kNotFound, "no template '{}'", name);
  }
  static tl::unexpected<Error> NoKey(const std::string& id) {
    return Fail(Code::kNotFound, "no key '{}'", id);
  }

  // In the update's own transaction: the row is of another version, or not there.
  Status WhyNotUpdated(const std::string& id) {
    Query query(db_->Prepare("SELECT 1 FROM sandboxes WHERE id = ?"));
    if (!query.Bind(id).Next()) return NoSandbox(id);
    return Fail(Code::kAborted, "sandbox '{}' has been changed meanwhile: try again", id);
  }

  void InsertEvent(const EventRecord& event) {
    Query insert(
        db_->Prepare("INSERT INTO events (sandbox_id, time, kind, phase, message, details) "
                     "VALUES (?, ?, ?, ?, ?, ?)"));
    insert.Bind(event.sandbox_id).Bind(event.time).Bind(event.kind).Bind(event.phase);
    insert.Bind(event.message).Bind(event.details).Run();
  }

  std::unique_ptr<SqliteDatabase> db_;
};

}  // namespace

Result<std::unique_ptr<Store>> OpenSqlite(const std::string& path) {
  ASSIGN_OR_RETURN(auto database, SqliteDatabase::Open(path));
  return std::make_unique<SqliteStore>(std::move(database));
}

}  // namespace wrenn::store
