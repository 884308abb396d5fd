#include "runtime/topology/simulated_network.hpp"

#include "actors/interfaces.hpp"

#include <caf/all.hpp>
#include <caf/monitorable_actor.hpp>

#include <algorithm>

namespace troupe::simulated {

/// The handle of an actor at the other end of one connection.
class network::wire : public caf::monitorable_actor {
public:
  wire(caf::actor_config& config, network* net, std::weak_ptr<connection> c, int holder, caf::strong_actor_ptr target)
      : caf::monitorable_actor{config},
        net_{net},
        connection_{std::move(c)},
        holder_{holder},
        target_{std::move(target)} {}

  void enqueue(caf::mailbox_element_ptr message, caf::execution_unit*) override {
    if (auto c = connection_.lock(); c && !getf(is_terminated_flag))
      net_->transmit(c, holder_, target_, std::move(message));
  }
  void end() { cleanup(caf::exit_reason::remote_link_unreachable, nullptr); }
  void hang_up() {
    if (auto c = connection_.lock()) net_->close(c, holder_);
  }

private:
  network* net_;
  std::weak_ptr<connection> connection_;
  int holder_;
  caf::strong_actor_ptr target_;
};

class network::node_transport final : public transport {
public:
  node_transport(network& net, node_id self, std::uint64_t life) : net_{net}, self_{self}, life_{life} {}
  void listen(const caf::actor& door) override { net_.doors_[self_] = door; }
  void dial(node_id peer, const caf::actor& reply_to) override { net_.dial(self_, life_, peer, reply_to); }
  void close(const caf::actor& handle) override {
    if (auto* w = dynamic_cast<wire*>(caf::actor_cast<caf::abstract_actor*>(handle))) w->hang_up();
  }

private:
  network& net_;
  node_id self_;
  std::uint64_t life_;
};

network::network(world& w, network_options options) : world_{w}, options_{options} {}

network::~network() {
  for (auto& c : connections_) {
    for (auto& [place, handle] : c->wires)
      dynamic_cast<wire&>(*caf::actor_cast<caf::abstract_actor*>(handle)).end();
    c->wires.clear();
    for (auto& way : c->ways) {
      way.passes = false;
      way.held.clear();
    }
  }
}

std::unique_ptr<transport> network::attach(node_id node) {
  return std::make_unique<node_transport>(*this, node, ++lives_[node]);
}

nanoseconds network::latency() {
  auto t = world_.random().between(options_.latency_min, options_.latency_max);
  if (world_.random().chance(options_.stall)) t += world_.random().between(nanoseconds{0}, options_.stall_max);
  return t;
}

nanoseconds network::latency(node_id from, node_id to) {
  const auto slow = lags_.find({from, to});
  return latency() + (slow == lags_.end() ? nanoseconds{0} : slow->second);
}

void network::dial(node_id from, std::uint64_t life, node_id to, const caf::actor& reply_to) {
  auto there = latency(from, to), back = latency(to, from);
  world_.after(there, [=, this] {
    if (lives_[from] != life) return;
    if (cut_.contains({from, to}) || cut_.contains({to, from}))
      return world_.after(std::chrono::milliseconds{300},
                          [=] { caf::anon_send(reply_to, dial_failed_atom::value, to, std::string{"timed out"}); });
    if (!doors_.contains(to))
      return world_.after(back,
                          [=] { caf::anon_send(reply_to, dial_failed_atom::value, to, std::string{"refused"}); });
    auto c = std::make_shared<connection>();
    c->number = ++numbers_;
    c->ends[0] = from;
    c->ends[1] = to;
    connections_.push_back(c);
    world_.note("net", "connected", to_string(from) + ">" + to_string(to) + " #" + std::to_string(c->number));
    auto handle = wire_to(c, 0, caf::actor_cast<caf::strong_actor_ptr>(doors_[to]));
    world_.after(back, [=] { caf::anon_send(reply_to, dialled_atom::value, to, handle); });
  });
}

caf::strong_actor_ptr network::wire_to(const std::shared_ptr<connection>& c, int holder,
                                       const caf::strong_actor_ptr& target) {
  auto& slot = c->wires[{holder, target->id()}];
  if (!slot) {
    caf::actor_config config;
    auto& system = world_.system();
    slot = caf::make_actor<wire, caf::strong_actor_ptr>(system.next_actor_id(), system.node(), &system, config, this,
                                                        std::weak_ptr<connection>{c}, holder, target);
  }
  return slot;
}

/// Something reaches the end of its way now; a cut keeps it, and everything behind it.
void network::arrive(const std::shared_ptr<connection>& c, int sender, std::function<void()> what) {
  if (!c->open[0] && !c->open[1]) return;
  auto& way = c->ways[sender];
  if (is_cut(*c, sender) || !way.held.empty())
    way.held.push_back(std::move(what));
  else
    what();
}

void network::transmit(const std::shared_ptr<connection>& c, int sender, const caf::strong_actor_ptr& target,
                       caf::mailbox_element_ptr message) {
  auto& way = c->ways[sender];
  if (!way.passes) return;
  way.last = std::max(way.last + nanoseconds{1}, world_.now() + latency(c->ends[sender], c->ends[1 - sender]));
  auto back = message->sender ? wire_to(c, 1 - sender, message->sender) : nullptr;
  auto content = message->move_content_to_message();
  world_.after(way.last - world_.now(), [=, this] {
    arrive(c, sender, [=, this] {
      if (!c->ways[sender].passes) return;
      ++delivered_;
      world_.note("net", "delivered", to_string(c->ends[sender]) + ">" + to_string(c->ends[1 - sender]));
      if (frame_arrived && content.match_elements<v1::Frame>())
        frame_arrived(c->ends[sender], c->ends[1 - sender], content.get_as<v1::Frame>(0));
      target->enqueue(caf::make_mailbox_element(back, caf::make_message_id(), {}, content), nullptr);
    });
  });
}

void network::close_end(connection& c, int end) {
  if (!c.open[end]) return;
  c.open[end] = false;
  for (auto i = c.wires.begin(); i != c.wires.end();) {
    if (i->first.first != end) {
      ++i;
      continue;
    }
    auto handle = i->second;
    i = c.wires.erase(i);
    dynamic_cast<wire&>(*caf::actor_cast<caf::abstract_actor*>(handle)).end();
  }
}

/// Forgets a connection that no end holds any more, and what is still under way on it.
void network::forget_closed(connection& c) {
  if (c.open[0] || c.open[1]) return;
  for (auto& way : c.ways) {
    way.passes = false;
    way.held.clear(); // it holds the connection itself
  }
  std::erase_if(connections_, [&](const auto& old) { return old.get() == &c; });
}

/// `closing_end` is done with the connection; the other end hears of it when its messages get through. With last
/// words, what was sent before arrives first.
void network::close(const std::shared_ptr<connection>& c, int closing_end, bool last_words) {
  close_end(*c, closing_end);
  auto& way = c->ways[closing_end];
  for (auto& w : c->ways) {
    if (&w == &way && last_words && w.passes) continue;
    w.passes = false;
    w.held.clear();
  }
  forget_closed(*c);
  world_.note("net", "closed", to_string(c->ends[closing_end]) + " #" + std::to_string(c->number));
  const auto ends_at = world_.now() + latency(c->ends[closing_end], c->ends[1 - closing_end]);
  way.last = way.passes ? std::max(way.last + nanoseconds{1}, ends_at) : ends_at;
  world_.after(way.last - world_.now(), [=, this] {
    arrive(c, closing_end, [=, this] {
      c->ways[closing_end].passes = false;
      close_end(*c, 1 - closing_end);
      forget_closed(*c);
    });
  });
}

void network::crashed(node_id node) {
  doors_.erase(node);
  ++lives_[node];
  const bool only_the_process = world_.random().chance(0.5);
  auto copy = connections_;
  for (auto& c : copy)
    for (int end : {0, 1})
      if (c->ends[end] == node && c->open[end]) close(c, end, only_the_process);
}

void network::break_connection(node_id a, node_id b) {
  auto copy = connections_;
  for (auto& c : copy)
    if (c->open[0] && c->open[1] && ((c->ends[0] == a && c->ends[1] == b) || (c->ends[0] == b && c->ends[1] == a))) {
      close(c, 0);
      return;
    }
}

void network::heal(node_id from, node_id to) {
  cut_.erase({from, to});
  auto copy = connections_;
  for (auto& c : copy)
    for (int sender : {0, 1}) {
      if (c->ends[sender] != from || c->ends[1 - sender] != to) continue;
      auto& way = c->ways[sender];
      for (auto held = std::exchange(way.held, {}); !held.empty(); held.pop_front())
        held.front()();
    }
}

void network::heal_all() {
  const auto cuts = cut_;
  for (const auto& [from, to] : cuts)
    heal(from, to);
}

} // namespace troupe::simulated
