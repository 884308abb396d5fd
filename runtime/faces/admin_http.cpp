#include "runtime/faces/admin_http.hpp"

#include "actors/transport.hpp"
#include "protocol/limits.hpp"
#include "runtime/faces/http_conflicts.hpp"
#include "runtime/faces/http_explain.hpp"
#include "runtime/faces/http_keys.hpp"
#include "runtime/faces/http_locks.hpp"
#include "runtime/faces/node_metrics.hpp"
#include "runtime/faces/request_pool.hpp"
#include "runtime/status.hpp"
#include "runtime/weak_calls.hpp"

#include <caf/scoped_actor.hpp>
#include <caf/send.hpp>

#include <httplib.h>
#include <nlohmann/json.hpp>
#include <prometheus/text_serializer.h>
#include <spdlog/spdlog.h>

#include <future>
#include <stdexcept>
#include <string>

namespace troupe {

namespace {

/// What the session of a request has seen, and of its answer.
constexpr const char* token_header = "Troupe-Token";

void respond(httplib::Response& response, http::answer answer) {
  response.status = answer.status;
  if (!answer.etag.empty()) response.set_header("ETag", answer.etag);
  if (!answer.token.empty()) response.set_header(token_header, answer.token);
  if (answer.status == 304) return;
  response.body = std::move(answer.body);
  response.set_header("Content-Type", answer.content_type);
}

void respond_json(httplib::Response& response, int status, const nlohmann::json& object) {
  respond(response,
          {status, object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace), "application/json", ""});
}

http::key_request words_of(const httplib::Request& request, std::string body = {}) {
  return {request.method == "HEAD" ? "GET" : request.method,
          request.target,
          std::move(body),
          request.get_header_value("If-None-Match"),
          request.get_header_value("If-Match"),
          request.has_header(token_header) ? std::optional{request.get_header_value(token_header)} : std::nullopt};
}

/// What the handlers of keys need.
struct key_service {
  const face_setup& face;
  const admin_limits& bounds;
  request_sessions& sessions;

  void serve(http::key_request words, httplib::Response& response) const {
    response.set_header("Cache-Control", "no-cache"); // whoever keeps a copy has to ask again before using it
    auto validators = words;
    validators.body.clear();
    auto asked = http::interpret(face.shape(), face.seal, std::move(words), bounds.deadline_max);
    if (!asked) return respond(response, std::move(asked.error()));
    const auto kind = http::kind_of(*asked);
    const auto key = stored_key(asked->operation.type, asked->operation.key);
    const auto budget = asked->deadline.value_or(face.deadline);
    auto done = sessions.perform_whole(face, std::move(asked->operation),
                                       {std::move(asked->seen), asked->wants_token}, budget);
    if (done.answer.waits_for_node() != 0) done.answer.set_detail(error_of(done.answer, key, face.shape()).detail());
    auto reply = http::answer_to(validators, kind, std::move(done.answer), face.seal);
    if (done.token)
      if (auto text = face.seal.seal(*done.token)) reply.token = std::move(*text);
    respond(response, std::move(reply));
  }

  /// @param content  the body; decoded, if it is compressed.
  void serve_with_body(const httplib::Request& request, httplib::Response& response,
                       const httplib::ContentReader& content) const {
    std::string body;
    bool too_large = false;
    const bool complete = content([&](const char* bytes, std::size_t size) {
      too_large = size > limits::value_bytes_max - body.size();
      if (!too_large) body.append(bytes, size);
      return !too_large;
    });
    if (too_large) return respond(response, http::failure(errc::value_too_large));
    if (!complete) return respond(response, http::failure(errc::invalid_argument, "the body could not be read"));
    serve(words_of(request, std::move(body)), response);
  }
};

/// What the handlers of named locks need.
struct lock_service {
  const face_setup& face;
  const admin_limits& bounds;
  request_sessions& sessions;
  std::atomic<std::size_t>& waits;

  void serve(const httplib::Request& request, httplib::Response& response) const {
    response.set_header("Cache-Control", "no-store");
    const auto unique = "http/" + std::to_string(face.next_session().value);
    auto asked = http::interpret_lock(face.shape(), request.method, request.target, bounds.deadline_max, unique);
    if (!asked) {
      if (asked.error().status == 405) response.set_header("Allow", "POST, PUT, DELETE");
      return respond(response, std::move(asked.error()));
    }
    respond(response, asked->asked == http::asked_lock::what::acquire ? acquire(*asked) : go_on(*asked));
  }

private:
  http::answer acquire(const http::asked_lock& asked) const {
    const bool waits_long = asked.wish.wait;
    if (waits_long && ++waits > bounds.lock_waits_max) {
      --waits;
      return http::failure(errc::overloaded, "as many requests as may are waiting for locks at this node");
    }
    const auto& owner = asked.wish.owner;
    const auto end =
        sessions.acquire(face, {asked.type, asked.name, {}}, asked.wish, asked.deadline.value_or(face.deadline));
    if (waits_long) --waits;
    if (const auto* held = std::get_if<lock_acquisition::held>(&end)) {
      const auto left = held->until - face.clock->now();
      if (left > nanoseconds{0}) return http::granted(held->token, owner, left);
      (void)sessions.perform(face, release(asked, owner, held->token), face.deadline);
      return http::failure(errc::lock_lost, "its time was over before it could be used");
    }
    if (const auto* taken = std::get_if<lock_acquisition::taken>(&end))
      return http::taken(taken->owner, taken->remaining);
    return http::failure(std::get<lock_acquisition::failed>(end).why);
  }

  static typed_operation release(const http::asked_lock& asked, const std::string& owner, const version& token) {
    const bool fenced = static_cast<bool>(token); // who knows it was answered, and so were the fences of the grant
    return {asked.type, asked.name,
            lock_acquisition::release_of(asked.wish.lock, owner, token, fenced, asked.wish.shards)};
  }

  /// Renews or releases.
  http::answer go_on(const http::asked_lock& asked) const {
    const auto& wish = asked.wish;
    const bool renewal = asked.asked == http::asked_lock::what::renew;
    const auto sent = face.clock->now();
    const auto result = sessions.perform(
        face,
        renewal ? typed_operation{asked.type, asked.name,
                                  lock_acquisition::renewal_of(wish.lock, wish.owner, asked.token, wish.shards)}
                : release(asked, wish.owner, asked.token),
        asked.deadline.value_or(face.deadline));
    if (result.error() != 0) return http::failure(code_of(result));
    if (!renewal) return http::released(result.applied());
    const auto until =
        lock_acquisition::until(sent, milliseconds{result.lock_remaining_ms()}, face.shape().drift_ppm);
    return http::renewed(until - face.clock->now());
  }
};

/// What the handlers of conflicts need.
struct conflict_service {
  const face_setup& face;
  const admin_limits& bounds;
  request_sessions& sessions;

  void serve(const httplib::Request& request, httplib::Response& response) const {
    response.set_header("Cache-Control", "no-store");
    const bool looks = request.method == "GET" || request.method == "HEAD";
    const auto asked = http::interpret_conflicts(face.shape(), looks ? "GET" : request.method, request.target);
    if (!asked) return respond(response, asked.error());
    const auto& replica = face.actors->actors().stream_replica;
    if (!replica)
      return respond(response, http::failure(errc::unavailable, "this node stores nothing of a weaker level"));
    std::optional<conflict_list> found;
    {
      caf::scoped_actor self{*face.system};
      self->request(replica, bounds.status_patience, asked->question)
          .receive([&](conflict_list& list) { found = std::move(list); }, [](const caf::error&) {});
    }
    if (!found) return respond(response, http::failure(errc::unavailable, "the stream replica does not answer"));
    const auto& id = asked->question.only;
    if (id.at && found->conflicts.empty()) return respond(response, http::no_such_conflict(id));
    if (looks) return respond(response, http::listed(*found));
    if (asked->asked == http::asked_conflicts::what::restore) {
      const auto& lost = found->conflicts.front();
      const auto done = sessions.perform_whole(face, http::restoring(lost), {}, face.deadline).answer;
      respond(response, http::restored(lost, done));
      if (code_of(done.result()) != errc::none) return; // it is kept
    } else {
      respond(response, http::discarded(id));
    }
    // Should this not arrive, it is listed once more, and dealt with once more.
    caf::anon_send(replica, conflict_settled{id});
  }
};

/// For requests whose body means nothing: it is not read, since httplib would keep all of it.
httplib::Server::HandlerWithContentReader without_body(httplib::Server::Handler plain) {
  return [plain = std::move(plain)](const httplib::Request& request, httplib::Response& response,
                                    const httplib::ContentReader&) { plain(request, response); };
}

/// Leaves of a key's path what it is routed by; the key is read from the target.
///
/// Why: httplib matches paths with std::regex, which takes stack for each of their bytes, megabytes for a long one.
void shorten_path(httplib::Request& request) {
  for (const auto prefix : {http::keys_prefix, http::locks_prefix, http::explain_prefix, http::conflicts_prefix})
    if (request.path.starts_with(prefix)) request.path = prefix;
}

http::answer nothing_at(const std::string& path) {
  auto answer = http::failure(errc::invalid_argument, "nothing is at " + path
                                                          + "; there are /healthz /readyz /metrics /v1/status "
                                                            "/v1/keys/TYPE/KEY /v1/explain/TYPE/KEY "
                                                            "/v1/locks/TYPE/NAME /v1/conflicts and "
                                                            "/v1/conflicts/ID");
  answer.status = 404;
  return answer;
}

/// What httplib itself refuses has no body yet.
void explain(const httplib::Request& request, httplib::Response& response) {
  if (!response.body.empty() || response.status < 400) return;
  auto answer = response.status == 404 ? nothing_at(request.path) : http::failure(errc::invalid_argument);
  answer.status = response.status;
  respond(response, std::move(answer));
}

/// Refuses what no handler is for before its body is read: httplib would keep all of it, decompressed.
///
/// And what a web page asks for that a browser shows: it must not be able to change keys of a node on its machine.
httplib::Server::HandlerResponse refuse(const httplib::Request& request, httplib::Response& response) {
  constexpr auto handled = httplib::Server::HandlerResponse::Handled;
  constexpr auto unhandled = httplib::Server::HandlerResponse::Unhandled;
  if (request.method == "GET" || request.method == "HEAD") return unhandled;
  if (request.has_header("Origin")) {
    auto answer = http::failure(errc::invalid_argument, "a request with an Origin header changes nothing here");
    answer.status = 403;
    respond(response, std::move(answer));
    return handled;
  }
  const bool of_conflicts = request.path.starts_with(http::conflicts_path);
  const bool put = request.method == "PUT" && !of_conflicts;
  if (!put && request.method != "POST" && request.method != "DELETE") {
    const std::string allowed = of_conflicts ? "GET, HEAD, POST, DELETE" : "GET, HEAD, PUT, POST, DELETE";
    auto answer = http::failure(errc::invalid_argument, "the methods here are " + allowed);
    answer.status = 405;
    respond(response, std::move(answer));
    response.set_header("Allow", allowed);
    return handled;
  }
  for (const auto prefix : {http::keys_prefix, http::locks_prefix, http::conflicts_prefix})
    if (request.path.starts_with(prefix)) return unhandled;
  respond(response, nothing_at(request.path));
  return handled;
}

} // namespace

admin_http::admin_http(const face_setup& face, const endpoint& at, const admin_limits& bounds)
    : face_(face),
      bounds_(bounds),
      address_(at),
      server_(std::make_unique<http_server>(bounds.connection, shorten_path)) {
  server_->new_task_queue = [bounds] { return new request_pool{bounds.threads, bounds.waiting_max}; };
  server_->set_pre_routing_handler(refuse);
  server_->set_error_handler(httplib::Server::Handler{explain});
  server_->set_exception_handler([log = face.log](const auto& request, auto& response, std::exception_ptr) {
    log->error("admin.request_failed path={}", request.path);
    respond(response, http::failure(errc::internal));
    response.status = 500;
  });
  add_probes();
  add_keys();
  add_locks();
  add_explain();
  add_conflicts();
  listen();
  face_.log->info("admin.listening address={}", to_string(address_));
}

admin_http::~admin_http() {
  sessions_.close();
  server_->stop();
  server_->end_connections();
  acceptor_.join();
}

void admin_http::listen() {
  if (address_.port == 0) {
    const int port = server_->bind_to_any_port(address_.host);
    if (port <= 0) throw cannot_listen("listen.admin", to_string(address_));
    address_.port = static_cast<std::uint16_t>(port);
  } else if (!server_->bind_to_port(address_.host, address_.port)) {
    throw cannot_listen("listen.admin", to_string(address_));
  }
  acceptor_ = std::thread{[this] {
    if (!server_->listen_after_bind()) face_.log->error("admin.listener_closed");
    ended_ = true;
  }};
  // Before it runs, stop() would have no effect.
  while (!server_->is_running() && !ended_)
    std::this_thread::yield();
}

void admin_http::add_probes() {
  server_->Get("/healthz", [](const auto&, auto& response) { respond(response, {200, "ok\n", "text/plain", ""}); });
  const auto ask = [this] { return ask_status(*face_.system, *face_.actors, *face_.clock, bounds_.status_patience); };
  server_->Get("/readyz", [this, ask](const auto&, auto& response) {
    const auto why = obstacle(face_.actors->setup(), ask());
    respond_json(response, why ? 503 : 200, {{"ready", !why}, {"because", why.value_or("")}});
  });
  server_->Get("/v1/status", [this, ask](const auto&, auto& response) {
    respond(response, {200, to_json(face_.actors->setup(), ask(), face_.store), "application/json", ""});
  });
  server_->Get("/metrics", [this, ask](const auto&, auto& response) {
    auto families = face_.meter->collect();
    const auto add = [&](std::vector<prometheus::MetricFamily> more) {
      for (auto& family : more)
        families.push_back(std::move(family));
    };
    add(metrics_of(face_.actors->setup(), ask(), face_.store));
    if (face_.audit) add(metrics_of(face_.audit->counts()));
    if (face_.webhook) add(metrics_of(face_.webhook->count()));
    respond(response, {200, prometheus::TextSerializer{}.Serialize(families), "text/plain; version=0.0.4", ""});
  });
}

void admin_http::add_keys() {
  const std::string pattern{http::keys_prefix}; // see shorten_path
  const key_service keys{face_, bounds_, sessions_};
  const auto plain = [keys](const httplib::Request& request, httplib::Response& response) {
    keys.serve(words_of(request), response);
  };
  const auto with_body = [keys](const httplib::Request& request, httplib::Response& response,
                                const httplib::ContentReader& content) {
    keys.serve_with_body(request, response, content);
  };
  server_->Get(pattern, plain);
  server_->Delete(pattern, without_body(plain));
  server_->Put(pattern, httplib::Server::HandlerWithContentReader{with_body});
  server_->Post(pattern, httplib::Server::HandlerWithContentReader{with_body});
}

void admin_http::add_locks() {
  const std::string pattern{http::locks_prefix}; // see shorten_path
  const lock_service locks{face_, bounds_, sessions_, lock_waits_};
  const auto plain = [locks](const httplib::Request& request, httplib::Response& response) {
    locks.serve(request, response);
  };
  server_->Get(pattern, plain);
  server_->Delete(pattern, without_body(plain));
  server_->Put(pattern, without_body(plain));
  server_->Post(pattern, without_body(plain));
}

void admin_http::add_conflicts() {
  const conflict_service conflicts{face_, bounds_, sessions_};
  const auto plain = [conflicts](const httplib::Request& request, httplib::Response& response) {
    conflicts.serve(request, response);
  };
  server_->Get(std::string{http::conflicts_path}, plain);
  const std::string pattern{http::conflicts_prefix}; // see shorten_path
  server_->Get(pattern, plain);
  server_->Delete(pattern, without_body(plain));
  server_->Post(pattern, without_body(plain));
}

void admin_http::add_explain() {
  server_->Get(std::string{http::explain_prefix}, [this](const httplib::Request& request,
                                                         httplib::Response& response) {
    response.set_header("Cache-Control", "no-store");
    const auto asked =
        http::interpret_explain(face_.shape(), request.target, face_.clock->now() + bounds_.status_patience);
    if (!asked) return respond(response, asked.error());
    caf::scoped_actor self{*face_.system};
    // It answers at its own deadline; what is beyond that is for a node whose threads are busy.
    self->request(face_.actors->actors().explainer, bounds_.status_patience * 4, *asked)
        .receive([&](const explanation& found) { respond(response, http::explained(face_.shape(), *asked, found)); },
                 [&](const caf::error& why) {
                   respond(response,
                           http::failure(why.category() == error_category ? errc::overloaded : errc::unavailable));
                 });
  });
}

} // namespace troupe
