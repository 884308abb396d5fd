#include "runtime/assembly.hpp"

#include "actors/basp_transport.hpp"
#include "actors/interfaces.hpp"
#include "actors/layers/rocksdb_store.hpp"
#include "runtime/caf_visit.hpp"

#include <caf/io/middleman.hpp>
#include <caf/io/network/multiplexer.hpp>
#include <caf/scoped_actor.hpp>
#include <caf/send.hpp>

#include <algorithm>
#include <random>
#include <thread>

namespace troupe {

namespace {

/// Unpredictable bits, for ids that must be unique without agreement.
std::uint64_t random_bits() {
  std::random_device device;
  return (std::uint64_t{device()} << 32U) | device();
}

session_id random_session() { return session_id{std::max<std::uint64_t>(random_bits(), 1)}; }

node_id random_client() {
  return node_id{client_node_bit | std::max<std::uint32_t>(static_cast<std::uint32_t>(random_bits() >> 33U), 1)};
}

std::vector<injected_delay> delays_to_peers(const node_config& config) {
  std::vector<injected_delay> delays;
  for (const auto& peer : config.shape.members)
    for (const auto& d : config.delays) {
      const bool matches =
          (d.one == config.region && d.other == peer.region) || (d.other == config.region && d.one == peer.region);
      if (matches && peer.id != config.self) delays.push_back({peer.id, d.round_trip / 2});
    }
  return delays;
}

/// For a system of our own; a service schedules its actors as it likes.
void configure_workers(caf::actor_system_config& config) {
  // As many workers as cores; CAF starts at least four, which costs wake-ups on small machines.
  config.set("scheduler.max-threads", std::size_t{std::max(1U, std::thread::hardware_concurrency())});
  // Messages that one actor may handle before the next gets its turn; without it a busy actor starves its worker.
  config.set("scheduler.max-throughput", std::size_t{200});
  // Idle workers wait on a condition variable at once: polling with sleeps of 50 us makes a lone request four times
  // slower.
  config.set("work-stealing.aggressive-poll-attempts", std::size_t{0});
  config.set("work-stealing.moderate-poll-attempts", std::size_t{0});
  // How often they look whether another has more than it can do. A job of their own wakes them at once.
  config.set("work-stealing.relaxed-sleep-duration", caf::timespan{std::chrono::seconds{1}});
}

} // namespace

result<std::unique_ptr<assembly>> assembly::build(const node_config& config, std::shared_ptr<operation_meter> meter,
                                                  caf::actor_system* system) {
  std::unique_ptr<assembly> parts{new assembly{config, std::move(meter), system}};
  auto log = runtime_log::open(config.log, config.name);
  if (!log) return tl::unexpected{error{errc::invalid_argument, log.error()}};
  parts->log_writer_ = std::move(*log);
  parts->log_ = parts->log_writer_->logger();
  for (const auto& note : config.notes)
    parts->log_->warn("config.note {}", note);
  if (!config.is_client())
    if (auto opened = parts->open_own_store(); !opened) return tl::unexpected{opened.error()};
  try {
    const caf_visit visit;
    parts->start_system();
    parts->start_node();
    parts->start_audit();
    parts->start_faces();
  } catch (const cannot_listen& e) {
    const auto where = config.file.empty() ? std::string{} : config.file.string() + ": ";
    return tl::unexpected{error{errc::cannot_listen, where + e.what()}};
  } catch (const std::exception& e) {
    return tl::unexpected{error{errc::invalid_argument, e.what()}};
  }
  return parts;
}

result<void> assembly::open_own_store() {
  rocksdb_options options;
  options.directory = config_.directory;
  options.cluster = config_.shape.name;
  options.node = config_.self;
  options.log = log_;
  auto opened = open_store(options);
  if (!opened) return tl::unexpected{error{errc::storage_failed, opened.error().what}};
  store_ = std::move(*opened);
  return {};
}

void assembly::start_system() {
  if (system_ == nullptr) {
    system_config_ = std::make_unique<caf::actor_system_config>();
    configure(*system_config_);
    configure_workers(*system_config_);
    own_system_ = std::make_unique<caf::actor_system>(*system_config_);
    system_ = own_system_.get();
  }
  require_configured(*system_);
  thread_ = std::make_unique<io_loop>(*system_, system_->middleman().backend());
}

/// Where alerts go to but for the log; null = nowhere.
std::shared_ptr<alert_webhook> assembly::open_webhook() {
  const auto address = webhook_address_in(config_.alerts.webhook);
  if (!address) return nullptr;
  webhook_options options;
  options.address = *address;
  options.labels = {{"node", config_.name},
                    {"cluster", config_.shape.name},
                    {"region", config_.region},
                    {"instance", config_.alerts.instance}};
  if (config_.admin && config_.admin->port != 0) options.external_url = "http://" + to_string(*config_.admin);
  return std::make_shared<alert_webhook>(std::move(options), clock_, log_);
}

void assembly::start_node() {
  node_setup setup;
  setup.shape = config_.shape;
  setup.name = config_.name;
  setup.region = config_.region;
  setup.delays = delays_to_peers(config_);
  setup.memory_bytes_max = config_.memory_bytes_max;
  setup.stream_log_bytes_max = config_.stream_log_bytes_max;
  setup.stream_compare_every = config_.stream_compare_every;
  setup.unpromised = config_.unpromised;
  setup.alerts.fold = config_.alerts.fold;
  setup.alerts.resolve = config_.alerts.resolve;
  if (store_) {
    const auto identity = store_->identity();
    setup.self = config_.self;
    setup.life = incarnation{identity.incarnation()};
    setup.disk = identity.disk();
  } else {
    setup.self = random_client();
    setup.life = incarnation{std::max<std::uint64_t>(random_bits() >> 32U, 1)}; // read locks count in 32 bits of it
  }
  wires_ = std::make_unique<basp_transport>(*system_, config_.shape, setup.self);
  node_seams seams;
  seams.clock = &clock_;
  seams.wires = wires_.get();
  seams.store = store_.get();
  seams.log = log_;
  seams.thread = thread_.get();
  seams.tallies = [meter = meter_](instant now) { return meter->take_tallies(now); };
  webhook_ = open_webhook();
  if (webhook_) seams.alert_listeners.emplace_back([webhook = webhook_](const alert_notice& n) { webhook->post(n); });
  node_ = std::make_unique<node>(*system_, std::move(setup), std::move(seams));
  log_->info("runtime.started node={} id={} region={} cluster={} incarnation={}", config_.name,
             to_string(node_->setup().self), config_.region, config_.shape.name, node_->setup().life.value);
}

void assembly::start_audit() {
  if (!(config_.audit.sample > 0)) return;
  auditor_config config;
  config.options.window_ns = nanoseconds{config_.audit.window}.count();
  config.directory = config_.audit.directory;
  config.node = config_.name;
  config.clock = std::make_shared<boot_clock>(); // the auditor may end after this
  config.log = log_;
  config.monitor = node_->actors().monitor;
  auto counts = config.counts;
  audit_ = std::make_shared<audit_feed>(spawn_auditor(*system_, std::move(config)), std::move(counts),
                                        check::audit_sample{.rate = config_.audit.sample});
}

void assembly::finish_audit(instant until) {
  if (!audit_) return;
  const auto patience = std::chrono::duration_cast<std::chrono::microseconds>(clock_.until(until));
  caf::scoped_actor self{*system_};
  self->request(audit_->auditor(), patience, judge_atom::value)
      .receive([](bool) {}, [&](const caf::error&) { log_->warn("audit.unfinished"); });
}

void assembly::start_faces() {
  if (config_.resp)
    resp_ = std::make_unique<resp_gateway>(face(), *config_.resp,
                                           resp_limits{.connections_max = config_.gateway.connections_max});
  if (config_.admin) admin_ = std::make_unique<admin_http>(face(), *config_.admin);
}

assembly::~assembly() {
  const caf_visit visit;
  admin_.reset();
  resp_.reset();
  if (node_)
    for (const auto& actor : node_->all_actors())
      caf::anon_send_exit(actor, caf::exit_reason::kill);
  // Until they have ended, actors use the node, the store and the transport (whose own actors are not waited for).
  if (audit_) caf::anon_send_exit(audit_->auditor(), caf::exit_reason::kill);
  if (thread_) thread_->await_actors();
  if (webhook_) webhook_->stop();
  node_.reset();
  store_.reset();
  wires_.reset();
  own_system_.reset();
  thread_.reset();
  if (log_) log_->info("runtime.ended");
}

std::optional<endpoint> assembly::resp_address() const {
  return resp_ ? std::optional{resp_->address()} : std::nullopt;
}

std::optional<endpoint> assembly::admin_address() const {
  return admin_ ? std::optional{admin_->address()} : std::nullopt;
}

face_setup assembly::face() {
  return {system_,        node_.get(),      &clock_,        store_.get(), meter_.get(), log_,
          random_session, config_.deadline, config_.seal(), audit_,       webhook_};
}

bool assembly::release_homes(instant until) {
  const auto patience = std::chrono::duration_cast<std::chrono::microseconds>(clock_.until(until));
  caf::scoped_actor self{*system_};
  using pending = decltype(self->request(std::declval<lock_manager_actor>(), patience, release_atom::value));
  if (const auto& memory = node_->actors().memory_layer)
    caf::anon_send(memory, release_atom::value); // ahead of the homes of this node: some of its leases are theirs
  std::vector<pending> questions;
  for (const auto& manager : node_->actors().lock_managers)
    if (manager) questions.push_back(self->request(manager, patience, release_atom::value));
  bool all = true;
  for (auto& question : questions)
    question.receive([](bool) {}, [&](caf::error&) { all = false; });
  return all;
}

} // namespace troupe
