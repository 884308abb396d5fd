/// The admin HTTP of a node: probes, metrics, status, and keys for people and edges.
///
///   GET    /healthz               200: the process is alive
///   GET    /readyz                200, or 503 with the reason: every placement of this node is served
///   GET    /metrics               Prometheus text
///   GET    /v1/status             this node's view of itself, its links and its shards, as JSON
///   GET    /v1/explain/TYPE/KEY   what every layer of every member has of the key, and why a read would wait
///   GET    /v1/conflicts          values that this node accepted and that lost against concurrent ones: the newest,
///                                 of ?type=TYPE&key=BEGINNING, at most ?max=100 and 2 MiB
///   GET    /v1/conflicts/ID       that one; 404 when this node does not keep it
///   POST   /v1/conflicts/ID       writes that value again, over what is there, and forgets the conflict
///   DELETE /v1/conflicts/ID       forgets it
///   GET    /v1/keys/TYPE/KEY      the value, ETag = its version; 404 when there is none, 304 by If-None-Match
///   PUT    /v1/keys/TYPE/KEY      stores the body; If-None-Match: * only when there is no value yet (else 412)
///   DELETE /v1/keys/TYPE/KEY      {"existed":…}
///   POST   /v1/keys/TYPE/KEY?add=-3&floor=0    adds; 409 with the number when the floor refused it
///   POST   /v1/locks/TYPE/NAME    takes a named lock, for ?ttl_ms=10000, waiting for up to ?wait_ms=0; by
///   ?owner=NAME
///                                 or somebody unique; with ?shared=true; with ?protect=TYPE:KEY, repeatable:
///                                 {"held":true,"token":…,"owner":…,"remaining_ms":…}; 409 when somebody has it
///   PUT    /v1/locks/TYPE/NAME?owner=NAME&token=TOKEN    renews it; 409 lock_lost
///   DELETE /v1/locks/TYPE/NAME?owner=NAME&token=TOKEN    gives it back; without a token, whatever that owner has or
///                                 waits for
///
/// A write of a key under a lock: ?lock=TYPE:NAME&token=TOKEN; 409 fenced when a newer grant of the lock was
/// answered. What remains of a lock counts from the answer: who cannot tell how long that took counts from the
/// request. An error of POST, also of unknown outcome, leaves the lock to others, at the end of its ttl at the
/// latest.
///
/// Types of a weaker level:
///   GET …?level=eventual          a weaker level than the type's; ?max_staleness_ms=500: at level eventual
///   GET                           siblings: {"values":[…],"context":…}, which PUT and DELETE quote by ?context=…;
///   sets:
///                                 {"elements":[…]}; maps: {"fields":[{"field":…,"value":…},…]}. Bytes that are no
///                                 UTF-8 are {"hex":…}
///   PUT, DELETE …?element=E       of a set
///   GET, PUT, DELETE …?field=F    of a map
///   Troupe-Token: TOKEN           what the session had seen before; in the answer, what it has seen now. The answers
///                                 of these types always have one; of a strong type, when the request has.
///
/// Keys are percent-decoded. ?deadline_ms= bounds an operation. Range is ignored: a value is answered whole. An error
/// is {"error":code,"outcome":…,"message":…}: 504 when its outcome is unknown, 503 when it was not done for now, 4xx
/// when the request is at fault. A request of its own is a session of its own.
#pragma once

#include "runtime/config_file.hpp"
#include "runtime/faces/face.hpp"
#include "runtime/faces/http_server.hpp"
#include "runtime/faces/request_sessions.hpp"

#include <atomic>
#include <cstddef>
#include <memory>
#include <thread>

namespace troupe {

struct admin_limits {
  std::size_t threads = 16;          ///< requests served at once
  std::size_t waiting_max = 64;      ///< connections that wait for a thread; above, none is accepted
  std::size_t lock_waits_max = 8;    ///< requests that wait for a named lock: the other threads serve what does not
  milliseconds deadline_max{60'000}; ///< of ?deadline_ms and ?wait_ms
  milliseconds status_patience{500}; ///< for the actors that are asked for their status
  http_limits connection;
};

class admin_http {
public:
  /// Listens. Throws cannot_listen when the address cannot be bound.
  admin_http(const face_setup& face, const endpoint& at, const admin_limits& bounds = {});
  admin_http(const admin_http&) = delete;
  admin_http& operator=(const admin_http&) = delete;
  /// Accepts no more, and ends what is being served: its clients are answered, and do not hold this up.
  ~admin_http();

  /// Where it listens; the port is the real one when 0 was asked for.
  const endpoint& address() const { return address_; }

private:
  void listen();
  void add_probes();
  void add_keys();
  void add_locks();
  void add_explain();
  void add_conflicts();

  face_setup face_;
  admin_limits bounds_;
  endpoint address_;
  request_sessions sessions_;
  std::atomic<std::size_t> lock_waits_{0}; ///< requests that wait for a named lock
  std::unique_ptr<http_server> server_;
  std::atomic<bool> ended_{false}; ///< the listening thread has nothing more to do
  std::thread acceptor_;
};

} // namespace troupe
