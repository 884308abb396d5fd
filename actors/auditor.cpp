#include "actors/auditor.hpp"

#include <caf/send.hpp>
#include <caf/typed_event_based_actor.hpp>

#include <algorithm>
#include <fstream>
#include <optional>
#include <system_error>

namespace troupe {

namespace {

struct auditor_state {
  std::optional<auditor_config> config;
  std::optional<check::audit> core;
  check::audit::effects effects; ///< empty between handlers
  std::size_t files = 0;
  std::uint64_t dropped = 0; ///< by the core, as counted so far
  static inline const char* name = "troupe.auditor";
};

using self_ptr = auditor_actor::stateful_pointer<auditor_state>;

level level_of(check::promise p) {
  switch (p) {
  case check::promise::linearizable:
    return level::strong;
  case check::promise::causal:
    return level::causal;
  case check::promise::session:
    return level::session;
  }
  return level::strong;
}

/// Writes the proof for `troupe check`, and beside it what it says, for people.
/// @return the file; empty = it could not be written.
std::filesystem::path write_proof(const auditor_config& config, const check::audit_finding& f, std::size_t number) {
  std::error_code failed;
  std::filesystem::create_directories(config.directory, failed);
  const auto at = config.clock->now().time_since_epoch().count();
  const auto stem = "refuted-" + config.node + "-" + std::to_string(at) + "-" + std::to_string(number);
  const auto lines = config.directory / (stem + ".jsonl");
  const auto words = config.directory / (stem + ".txt");
  std::ofstream history{lines, std::ios::binary};
  history << "# refuted by an audit: troupe check " << f.property << " " << lines.filename().string() << "\n"
          << f.history;
  std::ofstream text{words, std::ios::binary};
  text << "type " << f.type << ", key " << f.key << ": what clients of " << config.node << " were answered is not "
       << f.property << "\n\n"
       << f.text << "\nTo check this: troupe check " << f.property << " " << lines.filename().string() << "\n";
  history.close();
  text.close();
  return history && text ? lines : std::filesystem::path{};
}

void report(self_ptr self, const check::audit_finding& f) {
  auto& state = self->state;
  const auto& config = *state.config;
  std::string where = "no file: there are enough of them";
  if (config.directory.empty()) {
    where = "no file: audit.directory is not set";
  } else if (state.files < config.files_max) {
    const auto file = write_proof(config, f, ++state.files);
    where = file.empty() ? "its file could not be written" : file.string();
  }
  if (config.log)
    config.log->error("audit.refuted property={} type={} key={:?} operations={} proof={:?}", f.property, f.type,
                      f.key, f.operations, where);
  if (!config.monitor) return;
  violation_event event;
  event.kind = violation_kind::history_refuted;
  event.end = violation_end::served;
  event.given = level_of(f.held_to);
  event.type = f.type;
  event.key = f.key;
  event.detail = f.property + "; the proof: " + where;
  caf::anon_send(config.monitor, std::move(event));
}

void perform(self_ptr self) {
  auto& state = self->state;
  auto& counts = *state.config->counts;
  for (const auto& f : state.effects) {
    auto& verdicts = counts.windows[static_cast<std::size_t>(f.held_to)];
    switch (f.result) {
    case check::verdict::yes:
      ++verdicts.proved;
      break;
    case check::verdict::no:
      ++verdicts.refuted;
      report(self, f);
      break;
    case check::verdict::undecided:
      ++verdicts.undecided;
      if (state.config->log)
        state.config->log->debug("audit.undecided promise={} key={:?} why={:?}", name_of(f.held_to), f.key, f.why);
      break;
    }
  }
  state.effects.clear();
  counts.dropped += state.core->dropped() - state.dropped;
  state.dropped = state.core->dropped();
}

/// Takes a message from the way here. That some were dropped on it is told to the core.
void arrived(self_ptr self) {
  auto& counts = *self->state.config->counts;
  --counts.waiting;
  if (counts.lost.exchange(false)) self->state.core->lose();
}

auditor_actor::behavior_type auditor_behavior(self_ptr self, auditor_config config) {
  self->state.config = std::move(config);
  self->state.core.emplace(self->state.config->options);
  self->set_default_handler(caf::drop);
  const nanoseconds interval{std::max<std::int64_t>(self->state.config->options.window_ns / 4, 1'000'000)};
  self->delayed_send(self, interval, tick_atom::value);
  return {
      [self](audit_begun& m) {
        arrived(self);
        self->state.core->begin(m.ticket, std::move(m.call));
      },
      [self](audit_ended& m) {
        arrived(self);
        ++self->state.config->counts->operations;
        self->state.core->end(m.ticket, std::move(m.call), self->state.effects);
        perform(self);
      },
      [self](judge_atom) {
        self->state.core->finish(self->state.effects);
        perform(self);
        return true;
      },
      [self, interval](tick_atom) {
        const auto now = self->state.config->clock->now();
        self->state.core->tick(now.time_since_epoch().count(), self->state.effects);
        perform(self);
        self->delayed_send(self, interval, tick_atom::value);
      },
  };
}

} // namespace

auditor_actor spawn_auditor(caf::actor_system& system, auditor_config config) {
  const auto log = config.log;
  auto auditor = system.spawn<caf::detached>(auditor_behavior, std::move(config));
  caf::actor_cast<caf::abstract_actor*>(auditor)->attach_functor([log](const caf::error& why) {
    if (log && why != caf::exit_reason::kill && why != caf::exit_reason::user_shutdown)
      log->error("audit.ended why={:?}", caf::to_string(why));
  });
  return auditor;
}

bool audit_feed::admit() {
  if (counts_->waiting.fetch_add(1) < waiting_max) return true;
  --counts_->waiting;
  ++counts_->dropped;
  counts_->lost = true;
  return false;
}

void audit_feed::begin(std::uint64_t ticket, check::audited call) {
  if (admit()) caf::anon_send(auditor_, audit_begun{ticket, std::move(call)});
}

void audit_feed::end(std::uint64_t ticket, check::audited call) {
  if (admit()) caf::anon_send(auditor_, audit_ended{ticket, std::move(call)});
}

} // namespace troupe
