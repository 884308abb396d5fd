#include "actors/basp_transport.hpp"

#include "actors/interfaces.hpp"
#include "actors/wire_socket.hpp"

#include <caf/all.hpp>
#include <caf/io/all.hpp>
#include <caf/io/basp_broker.hpp>
#include <caf/io/network/multiplexer.hpp>
#include <tl/expected.hpp>

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <random>
#include <set>
#include <stdexcept>
#include <system_error>
#include <thread>

// CAF 0.17 makes its node id from the process id and the machine's network cards: two containers that share a machine
// and whose main process is number 1 are then one node to each other, and never connect. actor_system grants
// friendship to a class that 0.17 declares and does not define; as a module it runs after the middleman has set its
// id, before anything has used it.
namespace caf::net {

class middleman final : public actor_system::module {
public:
  explicit middleman(actor_system& system) : system_(system) {}

  static actor_system::module* make(actor_system& system, detail::type_list<>) { return new middleman(system); }

  void init(actor_system_config&) override {
    std::random_device random;
    caf::node_id::default_data::host_id_type host{};
    std::generate(host.begin(), host.end(), [&random] { return static_cast<std::uint8_t>(random()); });
    system_.node_ = make_node_id(static_cast<std::uint32_t>(::getpid()), host);
  }
  void start() override {}
  void stop() override {}
  id_t id() const override { return network_manager; }
  void* subtype_ptr() override { return this; }

private:
  actor_system& system_;
};

} // namespace caf::net

namespace troupe {

namespace {

constexpr milliseconds connect_timeout{1000};

class unique_socket {
public:
  explicit unique_socket(int fd) : fd_(fd) {}
  unique_socket(unique_socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  unique_socket& operator=(unique_socket&&) = delete;
  ~unique_socket() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

private:
  int fd_;
};

std::string text_of_errno(int code) { return std::generic_category().message(code); }

/// Connects one socket to one address within `connect_timeout`.
tl::expected<unique_socket, std::string> connect_to(const addrinfo& address) {
  unique_socket s{
      ::socket(address.ai_family, address.ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, address.ai_protocol)};
  if (s.get() < 0) return tl::make_unexpected(text_of_errno(errno));
  if (::connect(s.get(), address.ai_addr, address.ai_addrlen) == 0) return s;
  if (errno != EINPROGRESS) return tl::make_unexpected(text_of_errno(errno));
  pollfd waiting{s.get(), POLLOUT, 0};
  const int ready = ::poll(&waiting, 1, static_cast<int>(connect_timeout.count()));
  if (ready == 0) return tl::make_unexpected("no answer within " + std::to_string(connect_timeout.count()) + " ms");
  int error = errno;
  socklen_t size = sizeof error;
  if (ready > 0 && ::getsockopt(s.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
  if (error != 0) return tl::make_unexpected(text_of_errno(error));
  return s;
}

/// Why not CAF's own dialer: it connects without a limit, so that a partition of a minute costs another minute after
/// it has healed, until the kernel tries again.
tl::expected<unique_socket, std::string> connect_to(const std::string& host, std::uint16_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int error = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found); error != 0)
    return tl::make_unexpected(std::string{::gai_strerror(error)});
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner{found, ::freeaddrinfo};
  tl::expected<unique_socket, std::string> last = tl::make_unexpected(std::string{"no address"});
  for (const auto* address = found; address != nullptr; address = address->ai_next) {
    auto connected = connect_to(*address);
    if (connected) return connected;
    last = tl::make_unexpected(std::move(connected.error()));
  }
  return last;
}

/// Opens connections to one member. Detached, because connecting blocks.
caf::behavior dialer(caf::event_based_actor* self, caf::actor broker, member peer) {
  const auto where = peer.host + ":" + std::to_string(peer.port);
  self->set_default_handler(caf::drop);
  return {[=](dialled_atom, const caf::actor& reply_to) {
    auto fail = [=](const std::string& why) {
      self->send(reply_to, dial_failed_atom{}, peer.id, where + ": " + why);
    };
    auto socket = connect_to(peer.host, peer.port);
    if (!socket) return fail(socket.error());
    auto wire = new_wire_socket(self->system().middleman().backend(), socket->release());
    // The broker answers in any case: a handshake that is not done by its next heartbeat fails.
    self->request(broker, caf::infinite, caf::connect_atom_v, std::move(wire), peer.port)
        .then(
            [=](const caf::node_id& node, caf::strong_actor_ptr& door, const std::set<std::string>&) {
              if (!door)
                fail("connected, but nothing is published there");
              else if (node == self->system().node())
                fail("connected to this process itself");
              else
                self->send(reply_to, dialled_atom{}, peer.id, std::move(door));
            },
            [=](caf::error& error) { fail(self->system().render(error)); });
  }};
}

} // namespace

void configure(caf::actor_system_config& config) {
  register_types(config);
  config.load<caf::io::middleman>();
  config.load<caf::net::middleman>(); // the node id above

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
  // Frames are deserialized by the thread that reads them: a hand-over to a worker costs more than it saves.
  config.set("middleman.workers", std::size_t{0});
  // TCP connections that died silently are cut, on both sides. Links notice a silent peer much earlier by their own
  // pings, and close. The interval is long because an unfinished handshake is killed at the next beat whatever the
  // timeout says, so it has to be well above any round trip.
  config.set("middleman.heartbeat-interval", caf::timespan{std::chrono::seconds{2}});
  config.set("middleman.connection-timeout", caf::timespan{std::chrono::seconds{8}});
  // Off is the default, and must stay: on, every node opens another port on all interfaces.
  config.set("middleman.enable-automatic-connections", false);
}

basp_transport::basp_transport(caf::actor_system& system, cluster shape, node_id self)
    : system_(system), shape_(std::move(shape)), self_(self) {
  if (!system.has_middleman())
    throw std::runtime_error("this actor system has no middleman: pass its configuration to troupe::configure first");
  broker_ = system.middleman().named_broker<caf::io::basp_broker>(caf::atom("BASP"));
}

basp_transport::~basp_transport() {
  for (auto& [peer, dialer] : dialers_)
    caf::anon_send_exit(dialer, caf::exit_reason::kill);
  if (port_ != 0) (void)system_.middleman().unpublish(door_, port_);
}

void basp_transport::listen(const caf::actor& door) {
  if (is_client(self_)) return;
  const auto* me = shape_.find(self_);
  if (me == nullptr) throw std::runtime_error("node " + to_string(self_) + " is not in the list of members");
  const auto where = me->host + ":" + std::to_string(me->port);
  // CAF takes "no host" for "every interface".
  if (me->host.empty()) throw std::runtime_error("node " + to_string(self_) + " has no host to listen on");
  auto bound = new_wire_listener(system_.middleman().backend(), me->port, me->host.c_str());
  if (!bound) throw cannot_listen("cluster.nodes.address", where);
  door_ = door;
  port_ = (*bound)->port();
  // As the middleman publishes, which would make the listener itself.
  caf::anon_send(broker_, caf::publish_atom_v, std::move(*bound), port_, caf::actor_cast<caf::strong_actor_ptr>(door),
                 std::set<std::string>{});
}

void basp_transport::dial(node_id peer, const caf::actor& reply_to) {
  const auto* target = shape_.find(peer);
  if (target == nullptr) {
    caf::anon_send(reply_to, dial_failed_atom{}, peer, "node " + to_string(peer) + " is not in the list of members");
    return;
  }
  const std::lock_guard lock{mutex_};
  auto& own = dialers_[peer];
  if (!own) own = system_.spawn<caf::detached + caf::hidden>(dialer, broker_, *target);
  caf::anon_send(own, dialled_atom{}, reply_to);
}

void basp_transport::close(const caf::actor& wire) {
  // BASP has no message for this. What its broker does with a connection that times out can be done to any other, in
  // the thread that owns the broker.
  system_.middleman().backend().post([broker = broker_, peer = wire->node()] {
    auto* basp = static_cast<caf::io::basp_broker*>(caf::actor_cast<caf::abstract_actor*>(broker));
    if (basp->getf(caf::abstract_actor::is_terminated_flag)) return;
    while (auto connection = basp->instance.tbl().lookup_direct(peer)) {
      basp->connection_cleanup(*connection, caf::sec::none);
      basp->close(*connection);
    }
  });
}

} // namespace troupe
