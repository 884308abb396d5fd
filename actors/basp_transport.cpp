#include "actors/basp_transport.hpp"

#include "actors/interfaces.hpp"
#include "actors/wire_socket.hpp"

#include <caf/all.hpp>
#include <caf/io/all.hpp>
#include <caf/io/basp_broker.hpp>
#include <caf/io/network/default_multiplexer.hpp>
#include <tl/expected.hpp>

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <mutex>
#include <random>
#include <set>
#include <stdexcept>
#include <string_view>
#include <system_error>

// CAF 0.17 makes its node id from the process id and the machine's network cards: two containers that share a machine
// and whose main process is number 1 are then one node to each other, and never connect. actor_system grants
// friendship to a class that 0.17 declares and does not define; as a module it runs after the middleman has set its
// id, before anything has used it. It also knows which clusters have a node in the system.
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

  /// False: the cluster has a node here. Else leave() has to follow. Safe from any thread.
  bool enter(const std::string& cluster) {
    const std::lock_guard lock{mutex_};
    return clusters_.insert(cluster).second;
  }
  void leave(const std::string& cluster) {
    const std::lock_guard lock{mutex_};
    clusters_.erase(cluster);
  }

private:
  actor_system& system_;
  std::mutex mutex_;
  std::set<std::string> clusters_;
};

} // namespace caf::net

namespace troupe {

namespace {

constexpr milliseconds connect_timeout{1000};

// What both ends of a connection must agree on.
constexpr caf::string_view heartbeat_key = "middleman.heartbeat-interval";
constexpr caf::string_view timeout_key = "middleman.connection-timeout";
constexpr caf::string_view automatic_key = "middleman.enable-automatic-connections";
constexpr caf::timespan heartbeat_interval = std::chrono::seconds{2};
constexpr caf::timespan connection_timeout = std::chrono::seconds{8};

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

  // Frames are deserialized by the thread that reads them: a hand-over to a worker costs more than it saves.
  config.set("middleman.workers", std::size_t{0});
  // TCP connections that died silently are cut, on both sides. Links notice a silent peer much earlier by their own
  // pings, and close. The interval is long because an unfinished handshake is killed at the next beat whatever the
  // timeout says, so it has to be well above any round trip.
  config.set(heartbeat_key, heartbeat_interval);
  config.set(timeout_key, connection_timeout);
  // Off is the default, and must stay: on, every node opens another port on all interfaces.
  config.set(automatic_key, false);
}

void require_configured(caf::actor_system& system) {
  std::string lacks;
  auto check = [&lacks](bool there, std::string_view what) {
    if (!there) lacks.append(lacks.empty() ? "" : ", ").append(what);
  };
  const bool connected = system.has_middleman();
  check(connected, "the middleman");
  check(system.has_network_manager(), "a node id that is unique");
  check(system.types().make_value("troupe::v1::Hello") != nullptr, "the message types of Troupe");
  check(!connected || dynamic_cast<caf::io::network::default_multiplexer*>(&system.middleman().backend()) != nullptr,
        "the middleman's default network-backend");
  const auto& config = system.config();
  check(!caf::get_or(config, "middleman.manual-multiplexing", false), "manual-multiplexing = false");
  check(caf::get_or(config, heartbeat_key, caf::timespan{}) == heartbeat_interval, "heartbeat-interval = 2s");
  check(caf::get_or(config, timeout_key, caf::timespan{}) == connection_timeout, "connection-timeout = 8s");
  check(!caf::get_or(config, automatic_key, false), "enable-automatic-connections = false");
  if (!lacks.empty())
    throw std::runtime_error("this actor system lacks what troupe::configure sets in its configuration: " + lacks);
}

basp_transport::basp_transport(caf::actor_system& system, cluster shape, node_id self)
    : system_(system), shape_(std::move(shape)), self_(self) {
  require_configured(system);
  if (!system.network_manager().enter(shape_.name))
    throw std::runtime_error("a node of the cluster \"" + shape_.name
                             + "\" runs in this actor system; another one needs another system");
  broker_ = system.middleman().named_broker<caf::io::basp_broker>(caf::atom("BASP"));
}

basp_transport::~basp_transport() {
  for (auto& [peer, dialer] : dialers_)
    caf::anon_send_exit(dialer, caf::exit_reason::kill);
  if (port_ != 0) (void)system_.middleman().unpublish(door_, port_);
  system_.network_manager().leave(shape_.name);
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
