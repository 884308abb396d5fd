/// AUDITOR: judges the history of sampled keys and sessions of this node while it grows.
///
/// Its core is `check::audit`. Spawned by the runtime where the configuration asks for it, on a thread of its own.
/// The sessions of the API tell it of their operations through an `audit_feed`; it tells the monitor of what it
/// refutes, and writes the proof to a folder. When it dies, nothing is audited any more, and the log says so.
#pragma once

#include "actors/interfaces.hpp"
#include "actors/node_clock.hpp"
#include "protocol/check/audit.hpp"

#include <caf/actor_system.hpp>

#include <spdlog/logger.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

namespace troupe {

/// What an auditor has done so far; read by any thread.
struct audit_counts {
  struct verdicts {
    std::atomic<std::uint64_t> proved{0}, refuted{0}, undecided{0};
  };
  std::atomic<std::uint64_t> operations{0}; ///< judged, or waiting to be
  std::atomic<std::uint64_t> dropped{0};    ///< for want of room
  std::atomic<std::size_t> waiting{0};      ///< on their way to the auditor
  std::atomic<bool> lost{false};            ///< some were dropped on this way, and the core is not told yet
  std::array<verdicts, check::promises.size()> windows; ///< by promise

  const verdicts& of(check::promise p) const { return windows[static_cast<std::size_t>(p)]; }
};

struct auditor_config {
  check::audit_options options;
  std::filesystem::path directory; ///< for refutations; empty = they are only logged and counted
  std::size_t files_max = 100;     ///< in this life of the node; beyond, refutations are only logged and counted
  std::string node;                ///< name, for the files
  std::shared_ptr<const node_clock> clock;
  std::shared_ptr<spdlog::logger> log; ///< may be null
  monitor_actor monitor;               ///< may be none
  std::shared_ptr<audit_counts> counts = std::make_shared<audit_counts>();
};

auditor_actor spawn_auditor(caf::actor_system& system, auditor_config config);

/// The way to an auditor, safe from any thread: never waits, and drops what is too much.
class audit_feed {
public:
  audit_feed(auditor_actor auditor, std::shared_ptr<audit_counts> counts, const check::audit_sample& sample)
      : auditor_(std::move(auditor)), counts_(std::move(counts)), sample_(sample) {}

  const check::audit_sample& sample() const { return sample_; }
  const audit_counts& counts() const { return *counts_; }
  const auditor_actor& auditor() const { return auditor_; }

  /// Before the operation is sent. Not needed unless the audit is complete.
  void begin(std::uint64_t ticket, check::audited call);
  void end(std::uint64_t ticket, check::audited call);

private:
  bool admit();

  static constexpr std::size_t waiting_max = 65'536;
  const auditor_actor auditor_;
  const std::shared_ptr<audit_counts> counts_;
  const check::audit_sample sample_;
};

} // namespace troupe
