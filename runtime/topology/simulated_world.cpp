#include "runtime/topology/simulated_world.hpp"

#include "actors/interfaces.hpp"

#include <caf/all.hpp>

#include <ostream>

namespace troupe::simulated {

/// One event of world::after(); never leaves the process.
struct world_event {
  std::function<void()> what;
};

} // namespace troupe::simulated

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::simulated::world_event)
CAF_BEGIN_TYPE_ID_BLOCK(troupe_simulated, caf::id_block::troupe::end)
CAF_ADD_TYPE_ID(troupe_simulated, (troupe::simulated::world_event))
CAF_END_TYPE_ID_BLOCK(troupe_simulated)

namespace troupe::simulated {

namespace {

constexpr std::uint32_t nobody = ~std::uint32_t{0};

caf::behavior pump_behavior(caf::event_based_actor*) {
  return {[](world_event& event) { event.what(); }};
}

} // namespace

void event_log::add(nanoseconds at, std::string_view node, std::string_view name, std::string_view fields) {
  auto line = std::to_string(at.count());
  line.append(" ").append(node).append(" ").append(name);
  if (!fields.empty()) line.append(" ").append(fields);
  for (const char c : line) {
    hash_ ^= static_cast<unsigned char>(c);
    hash_ *= 1099511628211ULL;
  }
  ++lines_;
  if (all_ != nullptr) *all_ << line << '\n';
  last_.push_back(std::move(line));
  if (last_.size() > kept) last_.pop_front();
}

world::configuration::configuration() {
  set("scheduler.policy", caf::atom("testing"));
  set("logger.inline-output", true);
  register_types(*this);
  add_message_types<caf::id_block::troupe_simulated>();
}

world::world(std::uint64_t seed, std::ostream* log)
    : system_{configuration_},
      scheduler_{dynamic_cast<caf::scheduler::test_coordinator&>(system_.scheduler())},
      pump_{system_.spawn(pump_behavior)},
      random_{seed},
      log_{log} {}

world::~world() {
  caf::anon_send_exit(pump_, caf::exit_reason::kill);
  pump_ = nullptr;
  drain();
}

void world::drain() {
  scheduler_.clock().cancel_all(); // or the testing scheduler would run timers for ever when it stops
  while (!scheduler_.jobs.empty())
    scheduler_.run_once();
  scheduler_.clock().cancel_all();
}

nanoseconds world::now() const { return scheduler_.clock().now().time_since_epoch(); }

void world::after(nanoseconds delay, std::function<void()> what) {
  auto& c = scheduler_.clock();
  c.schedule_message(c.now() + delay, caf::actor_cast<caf::strong_actor_ptr>(pump_),
                     caf::make_mailbox_element(nullptr, caf::make_message_id(), {}, world_event{std::move(what)}));
}

std::uint32_t world::owner_of(caf::resumable* job) const {
  const auto* actor = dynamic_cast<caf::abstract_actor*>(job);
  if (actor == nullptr) return nobody;
  auto i = owners_.upper_bound(actor->id());
  if (i == owners_.begin()) return nobody;
  --i;
  return actor->id() <= i->second.first ? i->second.second : nobody;
}

void world::spawn_for(std::uint32_t node, const std::function<void()>& make) {
  const auto first = system_.latest_actor_id() + 1;
  make();
  const auto last = system_.latest_actor_id();
  if (last >= first) owners_[first] = {last, node};
}

bool world::run_one() {
  auto& jobs = scheduler_.jobs;
  if (jobs.empty()) return false;
  const auto start = jobs.size() > 1 ? random_.below(jobs.size()) : 0;
  for (std::size_t n = 0; n < jobs.size(); ++n) {
    const auto at = (start + n) % jobs.size();
    if (!paused_.empty() && paused_.contains(owner_of(jobs[at]))) continue;
    std::swap(jobs[0], jobs[at]);
    scheduler_.run_once();
    ++events_;
    return true;
  }
  return false;
}

void world::run_until(nanoseconds end, const std::function<bool()>& done) {
  for (;;) {
    while (run_one())
      if (done && done()) return;
    if (now() >= end || !scheduler_.trigger_timeout()) return;
  }
}

instant clock::now() const noexcept {
  const auto v = world_.now().count();
  return instant{offset_ + nanoseconds{v + v / 1'000'000 * drift_ppm_}};
}

nanoseconds clock::until(instant at) const noexcept {
  if (at == never) return nanoseconds::max();
  const auto time = now();
  if (at <= time) return nanoseconds{0};
  const auto local = at - time;
  // Rounded up, so that now() has reached `at` when the timer fires.
  return nanoseconds{local.count() - local.count() / 1'000'000 * drift_ppm_ + 2'000};
}

std::uint64_t clock::wall_ms() const noexcept {
  constexpr milliseconds begun{1'600'000'000'000}; // some day in 2020
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<milliseconds>(begun + world_.now() + wall_error_).count());
}

} // namespace troupe::simulated
