/// A runtime in this process, for tests of what stands around the actors: the only member of its cluster, or one of
/// three whose peers are never started.
#pragma once

#include <troupe/runtime.hpp>

#include "actors/layers/rocksdb_store.hpp"
#include "runtime/config_file.hpp"

#include <doctest/doctest.h>

#include <troupe/processes.hpp>

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>

namespace troupe::test {

/// A folder of this test's own, gone with it.
struct test_folder {
  std::filesystem::path path;
  test_folder() {
    auto name = (std::filesystem::temp_directory_path() / "troupe-test-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path = name;
  }
  test_folder(const test_folder&) = delete;
  test_folder& operator=(const test_folder&) = delete;
  ~test_folder() { std::filesystem::remove_all(path); }
};

struct lone_runtime_options {
  bool has_majority = true;
  bool admin = false;         ///< its own admin HTTP, at a free port
  bool log_to_stderr = false; ///< else to a file in its folder
  log_settings log;
  alert_settings alerts;
  audit_settings audit; ///< its directory is in the folder of the runtime
};

class lone_runtime {
public:
  explicit lone_runtime(const lone_runtime_options& options = {}) {
    auto c = example_config("eu-1");
    if (options.has_majority) {
      c.shape.members.resize(1);
      c.shape.replicas = 1;
    }
    c.shape.shards = 8;
    const auto ports = free_ports(c.shape.members.size());
    REQUIRE(ports.size() == c.shape.members.size());
    for (std::size_t i = 0; i < ports.size(); ++i)
      c.shape.members[i].port = ports[i];
    c.resp.reset();
    c.admin.reset();
    if (options.admin) c.admin = endpoint{"127.0.0.1", free_ports(1).front()};
    c.deadline = std::chrono::seconds{10};
    c.directory = folder_.path / "store";
    c.log = options.log;
    c.alerts = options.alerts;
    c.audit = options.audit;
    if (!c.audit.directory.empty()) c.audit.directory = folder_.path / c.audit.directory;
    if (!options.log_to_stderr) c.log.file = folder_.path / "log";
    rocksdb_options store;
    store.directory = c.directory;
    store.cluster = c.shape.name;
    store.node = c.self;
    if (auto made = create_store(store); !made) FAIL(made.error().what);
    auto read = config::from_toml(print_config(c), "lone_runtime");
    if (!read) FAIL(read.error().message());
    auto started = runtime::start(*read);
    if (!started) FAIL(started.error().message());
    node_.emplace(std::move(*started));
    if (!options.has_majority) return;
    if (auto ready = node_->wait_ready(std::chrono::nanoseconds::max()); !ready) FAIL(ready.error().message());
  }

  runtime& node() { return *node_; }
  std::filesystem::path folder() const { return folder_.path; }
  std::filesystem::path log_file() const { return folder_.path / "log"; }

private:
  test_folder folder_;
  std::optional<runtime> node_;
};

} // namespace troupe::test
