/// Connections between simulated nodes, with a TCP-like contract: in order while a connection lives, lost only with
/// it.
///
/// A cut direction holds what is sent, as TCP would by repeating itself, and delivers it late when it heals and the
/// connection still lives. A node that is gone is noticed at once only by peers that can hear it, and what a killed
/// process had sent may still arrive: even after its next life has connected, when it was held up on the way.
#pragma once

#include "actors/transport.hpp"
#include "protocol/wire/frame.pb.h"
#include "runtime/topology/simulated_world.hpp"

#include <caf/actor_control_block.hpp>
#include <caf/mailbox_element.hpp>

#include <deque>
#include <map>
#include <memory>
#include <set>

namespace troupe::simulated {

struct network_options {
  nanoseconds latency_min{std::chrono::microseconds{100}};
  nanoseconds latency_max{std::chrono::milliseconds{2}};
  double stall = 0; ///< chance that one message, and so everything behind it, is late
  nanoseconds stall_max{0};
};

class network {
public:
  network(world& w, network_options options);
  ~network();

  /// The transport of one start of a node; dead once crashed() is called for the node.
  std::unique_ptr<transport> attach(node_id node);
  /// Ends every connection of `node`; its peers hear of it when they can be reached. What it had sent still arrives
  /// before that if only the process died, and is lost if the machine did.
  void crashed(node_id node);

  void cut(node_id from, node_id to) { cut_.insert({from, to}); }
  void heal(node_id from, node_id to);
  void heal_all();
  /// Ends one connection between the two, if there is one.
  void break_connection(node_id a, node_id b);
  /// Everything from one to the other takes this much longer from now on; zero = as usual again.
  void lag(node_id from, node_id to, nanoseconds extra) { lags_[{from, to}] = extra; }
  void calm() {
    options_.stall = 0;
    lags_.clear();
  }

  std::uint64_t delivered() const { return delivered_; }

  /// Called with every frame that reaches the end of its way.
  std::function<void(node_id from, node_id to, const v1::Frame& frame)> frame_arrived;

private:
  class wire;
  class node_transport;
  friend class wire;
  friend class node_transport;

  /// What is under way in one direction of a connection.
  struct direction {
    nanoseconds last{0};                    ///< delivery time of the newest message; later ones are later
    std::deque<std::function<void()>> held; ///< what a cut holds back, in order; its end may be the last of it
    bool passes = true;                     ///< what is sent this way, or was, still arrives
  };
  struct connection {
    std::uint64_t number = 0;
    node_id ends[2];
    bool open[2] = {true, true};                                          ///< this end's wires live
    direction ways[2];                                                    ///< by sending end
    std::map<std::pair<int, caf::actor_id>, caf::strong_actor_ptr> wires; ///< by (end that holds it, target)
  };

  void dial(node_id from, std::uint64_t life, node_id to, const caf::actor& reply_to);
  caf::strong_actor_ptr wire_to(const std::shared_ptr<connection>& c, int holder,
                                const caf::strong_actor_ptr& target);
  void transmit(const std::shared_ptr<connection>& c, int sender, const caf::strong_actor_ptr& target,
                caf::mailbox_element_ptr message);
  void close(const std::shared_ptr<connection>& c, int closing_end, bool last_words = false);
  void arrive(const std::shared_ptr<connection>& c, int sender, std::function<void()> what);
  void close_end(connection& c, int end);
  void forget_closed(connection& c);
  bool is_cut(const connection& c, int sender) const { return cut_.contains({c.ends[sender], c.ends[1 - sender]}); }
  nanoseconds latency();
  nanoseconds latency(node_id from, node_id to);

  world& world_;
  network_options options_;
  std::map<node_id, caf::actor> doors_;       ///< listening nodes
  std::map<node_id, std::uint64_t> lives_;    ///< starts of each node; a transport of an earlier one is dead
  std::set<std::pair<node_id, node_id>> cut_; ///< directions that hold their messages
  std::map<std::pair<node_id, node_id>, nanoseconds> lags_; ///< directions that are slow, and by how much
  std::deque<std::shared_ptr<connection>> connections_;     ///< those with an open end, oldest first
  std::uint64_t numbers_ = 0;
  std::uint64_t delivered_ = 0;
};

} // namespace troupe::simulated
