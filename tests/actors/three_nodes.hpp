/// A cluster of three members in this process, connected over loopback, and configurations for client nodes of it.
#pragma once

#include "tests/actors/lone_runtime.hpp"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace troupe::test {

template <class T> T value_of(result<T> r) {
  if (!r) FAIL(r.error().message());
  return std::move(*r);
}

template <class T> errc error_of(const result<T>& r) { return r ? errc::none : r.error().code(); }

/// Few shards, no faces, and logs beside the stores.
struct three_nodes {
  test_folder folder;
  node_config base = example_config("eu-1");

  three_nodes() {
    base.shape.shards = 8;
    base.shape.types["drafts"] = {level::causal, on_timeout::unknown};
    const auto ports = free_ports(base.shape.members.size());
    REQUIRE(ports.size() == base.shape.members.size());
    for (std::size_t i = 0; i < ports.size(); ++i)
      base.shape.members[i].port = ports[i];
    base.resp.reset();
    base.admin.reset();
    base.deadline = std::chrono::seconds{5};
  }

  config of(std::string_view name) const {
    auto c = base;
    c.name = name;
    const auto* m = c.shape.find(name);
    c.self = m == nullptr ? node_id{} : m->id;
    c.region = m == nullptr ? "eu" : m->region;
    c.directory = m == nullptr ? std::filesystem::path{} : folder.path / name;
    c.log.file = folder.path / (std::string{name} + ".log");
    auto read = config::from_toml(print_config(c), name);
    if (!read) FAIL(read.error().message());
    return *read;
  }

  void create_store(std::string_view name) const {
    rocksdb_options options;
    options.directory = folder.path / name;
    options.cluster = base.shape.name;
    options.node = base.shape.find(name)->id;
    auto made = troupe::create_store(options);
    if (!made) FAIL(made.error().what);
  }

  runtime start(std::string_view name) const {
    auto started = runtime::start(of(name));
    if (!started) FAIL(started.error().message());
    return std::move(*started);
  }

  std::vector<runtime> start_members() const {
    std::vector<runtime> running;
    for (const auto& m : base.shape.members) {
      create_store(m.name);
      running.push_back(start(m.name));
    }
    for (auto& r : running)
      if (auto ready = r.wait_ready(std::chrono::seconds{20}); !ready) FAIL(ready.error().message());
    return running;
  }
};

} // namespace troupe::test
