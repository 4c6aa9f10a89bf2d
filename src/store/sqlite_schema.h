// The SQLite schema, as the steps that lead to it.
#pragma once

#include <array>

namespace wrenn::store {

// One step. `number` becomes the database's user_version. A step that has been released is never
// edited: a change is a new step.
struct Migration {
  int number;
  const char* sql;
};

// Times are microseconds since 1970 (UTC). Maps and objects are JSON texts.
inline constexpr std::array<Migration, 4> kMigrations = {{
    {1, R"sql(
CREATE TABLE sandboxes (
  id             TEXT PRIMARY KEY,
  tenant         TEXT NOT NULL,
  version        INTEGER NOT NULL,
  state          TEXT NOT NULL,
  reason         TEXT NOT NULL,
  template_name  TEXT NOT NULL,
  template_id    TEXT NOT NULL,
  image          TEXT NOT NULL,
  kernel         TEXT NOT NULL,
  disk_backend   TEXT NOT NULL,
  vcpus          INTEGER NOT NULL,
  memory_mb      INTEGER NOT NULL,
  disk_mb        INTEGER NOT NULL,
  timeout_sec    INTEGER NOT NULL,
  egress         INTEGER NOT NULL,
  envs           TEXT NOT NULL,
  metadata       TEXT NOT NULL,
  agent_token    TEXT NOT NULL,
  engine         TEXT NOT NULL,
  machine        TEXT NOT NULL,
  created_at     INTEGER NOT NULL,
  started_at     INTEGER,
  ended_at       INTEGER,
  last_active_at INTEGER,
  updated_at     INTEGER NOT NULL
) STRICT;
CREATE INDEX sandboxes_by_tenant ON sandboxes (tenant, created_at, id);
CREATE INDEX sandboxes_by_end ON sandboxes (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE events (
  sequence   INTEGER PRIMARY KEY AUTOINCREMENT,
  sandbox_id TEXT NOT NULL REFERENCES sandboxes (id) ON DELETE CASCADE,
  time       INTEGER NOT NULL,
  kind       TEXT NOT NULL,
  phase      TEXT NOT NULL,
  message    TEXT NOT NULL,
  details    TEXT NOT NULL
) STRICT;
CREATE INDEX events_by_sandbox ON events (sandbox_id, sequence);

CREATE TABLE templates (
  id          TEXT PRIMARY KEY,
  tenant      TEXT NOT NULL,
  version     INTEGER NOT NULL,
  name        TEXT NOT NULL,
  type        TEXT NOT NULL,
  image       TEXT NOT NULL,
  kernel      TEXT NOT NULL,
  recipe      TEXT NOT NULL,
  description TEXT NOT NULL,
  vcpus       INTEGER NOT NULL,
  memory_mb   INTEGER NOT NULL,
  size_bytes  INTEGER NOT NULL,
  created_at  INTEGER NOT NULL,
  updated_at  INTEGER NOT NULL,
  UNIQUE (tenant, name)
) STRICT;

CREATE TABLE keys (
  id           TEXT PRIMARY KEY,
  tenant       TEXT NOT NULL,
  version      INTEGER NOT NULL,
  name         TEXT NOT NULL,
  hash         TEXT NOT NULL UNIQUE,
  hint         TEXT NOT NULL,
  created_at   INTEGER NOT NULL,
  last_used_at INTEGER,
  updated_at   INTEGER NOT NULL
) STRICT;
CREATE INDEX keys_by_tenant ON keys (tenant, created_at, id);
)sql"},
    {2, R"sql(
ALTER TABLE sandboxes ADD COLUMN disk       TEXT NOT NULL DEFAULT '{}';
ALTER TABLE sandboxes ADD COLUMN snapshot   TEXT NOT NULL DEFAULT '';
ALTER TABLE sandboxes ADD COLUMN origin     TEXT NOT NULL DEFAULT 'boot';
ALTER TABLE sandboxes ADD COLUMN on_timeout TEXT NOT NULL DEFAULT 'stop';
ALTER TABLE templates ADD COLUMN snapshot   TEXT NOT NULL DEFAULT '';
)sql"},
    {3, R"sql(
ALTER TABLE sandboxes ADD COLUMN auto_resume INTEGER NOT NULL DEFAULT 0;
)sql"},
    {4, R"sql(
ALTER TABLE sandboxes ADD COLUMN network TEXT NOT NULL DEFAULT '{}';
)sql"},
}};

// The schema that this program reads and writes.
inline constexpr int kSchemaVersion = kMigrations.back().number;

}  // namespace wrenn::store
