#include "runtime/faces/resp_connection.hpp"

#include "runtime/snapshot_read.hpp"
#include "runtime/token_question.hpp"

#include <caf/io/middleman.hpp>
#include <caf/io/network/multiplexer.hpp>
#include <caf/send.hpp>

#include <spdlog/spdlog.h>

#include <algorithm>
#include <exception>
#include <utility>

namespace troupe {

namespace {

constexpr std::size_t read_bytes_max = std::size_t{16} << 10;
/// A client that does nothing for this long, or up to twice as long, though its connection ends, is cut off.
constexpr std::chrono::seconds linger{2};

/// A command more than a connection takes is never too much for its session.
static_assert(resp_limits{}.operation_bytes_max + 2 * resp::parser_limits{}.command_bytes_max
              <= limits::session_bytes_max);

std::size_t weight_of(const typed_operation& asked) {
  return asked.type.size() + asked.key.size() + asked.operation.ByteSizeLong();
}

/// What an answer makes a connection hold.
std::size_t value_bytes(const v1::WeakAnswer& answer) {
  auto bytes = answer.result().value().size();
  for (const auto& item : answer.items())
    bytes += item.field().size() + item.value().size();
  return bytes;
}

bool is_read(resp::form as) {
  return as == resp::form::value || as == resp::form::values || as == resp::form::members || as == resp::form::map
         || as == resp::form::field;
}

/// A snapshot's answers until all of them are there. They come on any thread.
struct snapshot_answers {
  std::mutex mutex{};
  std::vector<v1::WeakAnswer> found{};
};

} // namespace

void resp_inbox::put(arrival what) {
  bool announce = false;
  {
    const std::lock_guard lock{guard_};
    arrivals_.push_back(std::move(what));
    announce = !std::exchange(announced_, true);
  }
  if (!announce) return;
  if (auto owner = caf::actor_cast<caf::actor>(owner_)) caf::anon_send(owner, answers_atom::value);
}

std::vector<resp_inbox::arrival> resp_inbox::take() {
  const std::lock_guard lock{guard_};
  announced_ = false;
  return std::exchange(arrivals_, {});
}

resp_connection::~resp_connection() {
  if (!context_) return;
  if (session_) caf::anon_send(session_, close_atom::value);
  // CAF would keep the socket, and all that is to be written to it, until the client takes it.
  if (unsent_bytes_ > 0) caf::io::network::shutdown_both(descriptor_of(wire_));
  context_->load->bytes -= accounted_bytes_;
  context_->load->leave();
}

void resp_connection::start(caf::io::broker* self, caf::io::connection_handle wire,
                            std::shared_ptr<const resp_context> context) {
  self_ = self;
  wire_ = wire;
  context_ = std::move(context);
  const auto id = context_->face.next_session();
  session_ = context_->face.actors->open_session(id);
  inbox_ = std::make_shared<resp_inbox>(caf::actor_cast<caf::weak_actor_ptr>(self_));
  talk_ = std::make_unique<resp::conversation>(context_->face.shape(), context_->load->accepted());
  self_->configure_read(wire_, caf::io::receive_policy::at_most(read_bytes_max));
  self_->ack_writes(wire_, true);
}

void resp_connection::received(std::string_view bytes) {
  if (!ending_) {
    parser_.feed(bytes);
    work();
  }
  if (may_read() || !std::exchange(reading_, false)) return;
  self_->halt(wire_);
}

void resp_connection::answered() {
  for (auto& arrival : inbox_->take()) {
    auto& command = open_.at(arrival.command - first_open_);
    auto& answer = command.answers.at(arrival.operation);
    answer = std::move(arrival.answer);
    const auto bytes = value_bytes(answer);
    const auto& load = *context_->load;
    const auto held = reply_bytes_ + unsent_bytes_ + bytes;
    const bool full = held > context_->bounds.reply_bytes_max
                      || (held > context_->bounds.connection_bytes_free
                          && load.bytes.load() + held > context_->bounds.gateway_bytes_max);
    // Only a read carries a value, and nothing has happened when it is not answered.
    if (full && bytes > 0 && is_read(command.as) && answer.result().error() == 0) {
      answer.Clear();
      *answer.mutable_result() = failed(errc::overloaded);
    }
    reply_bytes_ += value_bytes(answer);
    --operations_open_;
    if (--command.waiting == 0) operation_bytes_ -= command.bytes;
  }
  work();
}

void resp_connection::transferred(std::size_t bytes) {
  unsent_bytes_ -= std::min(bytes, unsent_bytes_);
  progress_ = true;
  work();
}

void resp_connection::resume_later() {
  if (std::exchange(resume_asked_, true)) return;
  // Not sent from here: an actor that is awake already would take the message in this same round of events.
  self_->backend().post([me = caf::actor_cast<caf::actor>(self_)] { caf::anon_send(me, resume_atom::value); });
}

void resp_connection::resume() {
  resume_asked_ = false;
  if (!may_read() || std::exchange(reading_, true)) return;
  self_->trigger(wire_);
}

void resp_connection::work() {
  resp::command words;
  while (may_take_another()) {
    const auto what = parser_.next(words);
    if (what == resp::found::nothing) break;
    if (what == resp::found::complete)
      take(talk_->interpret(std::move(words)));
    else if (what == resp::found::too_large)
      take_reply(resp::failure(failed(errc::value_too_large)), false);
    else
      take_reply(resp::error("Protocol error: " + std::string{parser_.problem()}), true);
  }
  account();
  write_replies();
  if (!reading_ && may_read()) resume_later();
}

bool resp_connection::may_take_another() const {
  const auto& bounds = context_->bounds;
  const bool crowded = context_->load->bytes.load() > bounds.gateway_bytes_max / 2;
  return !ending_ && operations_open_ < bounds.operations_max && open_.size() < bounds.operations_max
         && operation_bytes_ < (crowded ? bounds.connection_bytes_free : bounds.operation_bytes_max)
         && unsent_bytes_ + reply_bytes_ < bounds.unsent_bytes_max;
}

void resp_connection::take(resp::plan plan) {
  if (plan.as == resp::form::ready) return take_reply(std::move(plan.reply), plan.close);
  if (plan.as == resp::form::token || plan.join) return take_token(std::move(plan));
  const auto number = first_open_ + open_.size();
  open_command command;
  command.as = plan.as;
  command.spoken = plan.spoken;
  command.waiting = plan.operations.size();
  command.answers.resize(plan.operations.size());
  command.field = std::move(plan.field);
  for (const auto& operation : plan.operations)
    command.bytes += weight_of(operation);
  operations_open_ += command.waiting;
  operation_bytes_ += command.bytes;
  open_.push_back(std::move(command));
  if (plan.snapshot) return read_snapshot(number, std::move(plan.operations));
  for (std::size_t i = 0; i < plan.operations.size(); ++i)
    submit_whole(context_->face, session_, std::move(plan.operations[i]), context_->face.deadline,
                 [inbox = inbox_, number, i](const v1::WeakAnswer& answer) {
                   inbox->put({number, i, answer});
                 });
}

void resp_connection::read_snapshot(std::uint64_t number, std::vector<typed_operation> reads) {
  const auto answers = std::make_shared<snapshot_answers>();
  answers->found.resize(reads.size());
  const auto until = context_->face.clock->now() + context_->face.deadline;
  const auto count = reads.size();
  auto read = [context = context_, session = session_, reads = std::move(reads), answers,
               until](std::size_t place, const v1::Vector* cut, snapshot_read::answered then) {
    auto asked = reads[place];
    if (cut != nullptr) *asked.extra.mutable_cut() = *cut;
    const auto left = std::max(until - context->face.clock->now(), nanoseconds{0});
    submit_whole(context->face, session, std::move(asked), std::chrono::ceil<milliseconds>(left),
                 [answers, place, then = std::move(then)](const v1::WeakAnswer& answer) {
                   {
                     const std::lock_guard lock{answers->mutex};
                     answers->found[place] = answer;
                   }
                   then(code_of(answer.result()), answer.session());
                 });
  };
  snapshot_read::run(count, std::move(read), [answers, inbox = inbox_, number](errc code) {
    for (std::size_t i = 0; i < answers->found.size(); ++i) {
      auto& answer = answers->found[i];
      if (code != errc::none) *answer.mutable_result() = failed(code); // all of them, or none
      inbox->put({number, i, std::move(answer)});
    }
  });
}

void resp_connection::take_token(resp::plan plan) {
  const auto& face = context_->face;
  if (plan.join) {
    auto seen = face.seal.open(*plan.join);
    if (!seen) return take_reply(resp::failure(failed(seen.error().code()), seen.error().detail()), false);
    caf::anon_send(session_, session_token_join{std::move(*seen)});
    return take_reply(resp::simple("OK"), false);
  }
  open_command command;
  command.as = plan.as;
  command.spoken = plan.spoken;
  command.waiting = 1;
  command.answers.resize(1);
  ++operations_open_;
  open_.push_back(std::move(command)); // write_replies() asks
}

void resp_connection::ask_for_token() {
  const auto& face = context_->face;
  open_.front().asked = true;
  const auto number = first_open_;
  ask_token(*face.system, session_, face.deadline,
            [inbox = inbox_, number, seal = face.seal](const result<v1::SessionVector>& seen) {
              v1::WeakAnswer answer;
              const auto text = seen ? seal.seal(*seen) : result<std::string>{tl::unexpected{seen.error()}};
              answer.mutable_result()->set_exists(text.has_value());
              if (text)
                answer.mutable_result()->set_value(*text);
              else
                answer.mutable_result()->set_error(static_cast<std::uint32_t>(text.error().code()));
              inbox->put({number, 0, std::move(answer)});
            });
}

void resp_connection::take_reply(std::string reply, bool close) {
  open_command command;
  command.reply = std::move(reply);
  command.close = close;
  reply_bytes_ += command.reply.size();
  open_.push_back(std::move(command));
  ending_ = ending_ || close;
}

void resp_connection::write_replies() {
  bool wrote = false;
  while (!open_.empty() && open_.front().waiting == 0) {
    auto& command = open_.front();
    std::size_t held = command.reply.size();
    for (const auto& answer : command.answers)
      held += value_bytes(answer);
    const auto reply = command.as == resp::form::ready
                           ? std::move(command.reply)
                           : resp::render(command.as, command.spoken, command.answers, command.field);
    reply_bytes_ -= held;
    unsent_bytes_ += reply.size();
    self_->write(wire_, reply.size(), reply.data());
    wrote = true;
    open_.pop_front();
    ++first_open_;
  }
  if (wrote) self_->flush(wire_);
  if (!open_.empty() && open_.front().as == resp::form::token && !open_.front().asked) ask_for_token();
  if (ending_ && open_.empty()) end_after_writing();
}

void resp_connection::end_after_writing() {
  if (unsent_bytes_ == 0 && !std::exchange(side_closed_, true)) {
    caf::io::network::shutdown_write(descriptor_of(wire_));
    progress_ = true;
  }
  if (!std::exchange(lingering_, true)) arm_linger();
}

void resp_connection::arm_linger() { self_->delayed_send(self_, linger, linger_atom::value); }

void resp_connection::lingered() {
  if (std::exchange(progress_, false))
    arm_linger();
  else
    self_->quit();
}

void resp_connection::account() {
  const auto held = parser_.held_bytes() + operation_bytes_ + reply_bytes_ + unsent_bytes_;
  auto& load = *context_->load;
  load.bytes += held - accounted_bytes_; // modulo 2^64: also when it shrinks
  accounted_bytes_ = held;
  if (ending_ || held <= context_->bounds.connection_bytes_free) return;
  if (load.bytes.load() <= context_->bounds.gateway_bytes_max) return;
  context_->face.log->warn("resp.connection_ended reason=memory held_bytes={}", held);
  take_reply(resp::failure(failed(errc::overloaded), "this connection ends: the gateway's memory is full"), true);
}

caf::error as_exit_reason(const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const std::exception& e) {
    return caf::make_error(caf::sec::runtime_error, std::string{e.what()});
  } catch (...) {
    return caf::sec::runtime_error;
  }
}

caf::behavior run_resp_connection(caf::io::stateful_broker<resp_connection>* self, caf::io::connection_handle wire,
                                  std::shared_ptr<const resp_context> context) {
  self->set_exception_handler([](std::exception_ptr& thrown) { return as_exit_reason(thrown); });
  self->set_default_handler(caf::drop);
  self->state.start(self, wire, std::move(context));
  return {
      [self](const caf::io::new_data_msg& data) {
        self->state.received({data.buf.data(), data.buf.size()});
      },
      [self](answers_atom) { self->state.answered(); },
      [self](const caf::io::data_transferred_msg& done) { self->state.transferred(done.written); },
      [self](const caf::io::connection_closed_msg&) { self->quit(); },
      [self](resume_atom) { self->state.resume(); },
      [self](linger_atom) { self->state.lingered(); },
  };
}

} // namespace troupe
