/// The handles of the public API for what the weaker levels add: see session.cpp for the others.
#include "runtime/issuing.hpp"

#include <utility>

namespace troupe {

call_request request_of(std::string_view type, std::string_view key, call_options options) {
  auto weak = weak_request_of(options);
  call_request request{type, key, {}, options.deadline, std::move(options.stop), std::move(options.under)};
  request.weak = std::move(weak);
  return request;
}

namespace {

call_request part_request(std::string_view type, std::string_view key, read_view view, call_options options) {
  auto request = request_of(type, key, std::move(options));
  request.weak.view = view;
  return request;
}

/// Reads something that is no single value.
///
/// @param look  makes what the caller sees of the answer's details and the settings.
template <class T, class Look>
void read_parts(session_impl& session, call_request request, Look look, std::function<void(result<T>)> done) {
  request.operation.mutable_get();
  if (!request.weak.details) request.weak.details = std::make_shared<answer_details>();
  session.issue(std::move(request), [look, done = std::move(done), details = request.weak.details,
                                     &settings = session.settings()](result<v1::Result> answer) {
    if (!answer) return done(tl::unexpected{std::move(answer.error())});
    done(look(*details, settings));
  });
}

call_request put_part(std::string_view type, std::string_view key, read_view view, field_value part,
                      call_options options) {
  auto request = part_request(type, key, view, std::move(options));
  request.operation.mutable_put_field()->set_field(std::move(part.field));
  request.operation.mutable_put_field()->set_value(std::move(part.value));
  return request;
}

call_request remove_part(std::string_view type, std::string_view key, read_view view, std::string part,
                         call_options options) {
  auto request = part_request(type, key, view, std::move(options));
  request.operation.mutable_remove_field()->set_field(std::move(part));
  return request;
}

} // namespace

void get_merged(session_impl& session, std::string_view type, std::string_view key, call_options options,
                std::function<void(result<std::optional<found>>)> done) {
  const auto look = [id = session.settings().merged_types.find(type)->second](const answer_details& details,
                                                                              const node_config& settings) {
    return merged_value(id, details, settings);
  };
  read_parts<std::optional<found>>(session, part_request(type, key, read_view::siblings, std::move(options)), look,
                                   std::move(done));
}

// -- reads of more than a value

result<siblings> session::get_siblings(std::string_view type, std::string_view key, call_options options) {
  return wait_for<siblings>(*impl_, options.deadline, [&](auto done) {
    read_parts<siblings>(*impl_, part_request(type, key, read_view::siblings, options), siblings_of, std::move(done));
  });
}

pending<siblings> async_session::get_siblings(std::string_view type, std::string_view key, call_options options) {
  return pending_of<siblings>([&](auto done) {
    read_parts<siblings>(*impl_, part_request(type, key, read_view::siblings, options), siblings_of, std::move(done));
  });
}

void async_session::get_siblings(std::string_view type, std::string_view key, on_done<siblings> done) {
  read_parts<siblings>(*impl_, part_request(type, key, read_view::siblings, std::move(done.options)), siblings_of,
                       std::move(done.done));
}

result<elements> session::elements_of(std::string_view type, std::string_view key, call_options options) {
  return wait_for<elements>(*impl_, options.deadline, [&](auto done) {
    read_parts<elements>(*impl_, part_request(type, key, read_view::elements, options), troupe::elements_of,
                         std::move(done));
  });
}

pending<elements> async_session::elements_of(std::string_view type, std::string_view key, call_options options) {
  return pending_of<elements>([&](auto done) {
    read_parts<elements>(*impl_, part_request(type, key, read_view::elements, options), troupe::elements_of,
                         std::move(done));
  });
}

void async_session::elements_of(std::string_view type, std::string_view key, on_done<elements> done) {
  read_parts<elements>(*impl_, part_request(type, key, read_view::elements, std::move(done.options)),
                       troupe::elements_of, std::move(done.done));
}

result<fields> session::fields_of(std::string_view type, std::string_view key, call_options options) {
  return wait_for<fields>(*impl_, options.deadline, [&](auto done) {
    read_parts<fields>(*impl_, part_request(type, key, read_view::fields, options), troupe::fields_of,
                       std::move(done));
  });
}

pending<fields> async_session::fields_of(std::string_view type, std::string_view key, call_options options) {
  return pending_of<fields>([&](auto done) {
    read_parts<fields>(*impl_, part_request(type, key, read_view::fields, options), troupe::fields_of,
                       std::move(done));
  });
}

void async_session::fields_of(std::string_view type, std::string_view key, on_done<fields> done) {
  read_parts<fields>(*impl_, part_request(type, key, read_view::fields, std::move(done.options)), troupe::fields_of,
                     std::move(done.done));
}

result<snapshot> session::get_many(std::string_view type, std::vector<std::string> keys, call_options options) {
  const auto deadline = options.deadline;
  return wait_for<snapshot>(*impl_, deadline, [&](auto done) {
    read_snapshot(impl_, std::string{type}, std::move(keys), std::move(options), std::move(done));
  });
}

pending<snapshot> async_session::get_many(std::string_view type, std::vector<std::string> keys,
                                          call_options options) {
  return pending_of<snapshot>([&](auto done) {
    read_snapshot(impl_, std::string{type}, std::move(keys), std::move(options), std::move(done));
  });
}

void async_session::get_many(std::string_view type, std::vector<std::string> keys, on_done<snapshot> done) {
  read_snapshot(impl_, std::string{type}, std::move(keys), std::move(done.options), std::move(done.done));
}

// -- sets

result<written> session::add_element(std::string_view type, std::string_view key, std::string element,
                                     call_options options) {
  return wait<written>(*impl_, put_part(type, key, read_view::elements, {std::move(element), {}}, options));
}

pending<written> async_session::add_element(std::string_view type, std::string_view key, std::string element,
                                            call_options options) {
  return issue<written>(*impl_, put_part(type, key, read_view::elements, {std::move(element), {}}, options));
}

void async_session::add_element(std::string_view type, std::string_view key, std::string element,
                                on_done<written> done) {
  issue<written>(*impl_, put_part(type, key, read_view::elements, {std::move(element), {}}, done.options),
                 std::move(done.done));
}

result<removed> session::remove_element(std::string_view type, std::string_view key, std::string element,
                                        call_options options) {
  return wait<removed>(*impl_, remove_part(type, key, read_view::elements, std::move(element), options));
}

pending<removed> async_session::remove_element(std::string_view type, std::string_view key, std::string element,
                                               call_options options) {
  return issue<removed>(*impl_, remove_part(type, key, read_view::elements, std::move(element), options));
}

void async_session::remove_element(std::string_view type, std::string_view key, std::string element,
                                   on_done<removed> done) {
  issue<removed>(*impl_, remove_part(type, key, read_view::elements, std::move(element), done.options),
                 std::move(done.done));
}

// -- maps

result<written> session::put_field(std::string_view type, std::string_view key, field_value field,
                                   call_options options) {
  return wait<written>(*impl_, put_part(type, key, read_view::fields, std::move(field), options));
}

pending<written> async_session::put_field(std::string_view type, std::string_view key, field_value field,
                                          call_options options) {
  return issue<written>(*impl_, put_part(type, key, read_view::fields, std::move(field), options));
}

void async_session::put_field(std::string_view type, std::string_view key, field_value field, on_done<written> done) {
  issue<written>(*impl_, put_part(type, key, read_view::fields, std::move(field), done.options),
                 std::move(done.done));
}

result<removed> session::remove_field(std::string_view type, std::string_view key, std::string field,
                                      call_options options) {
  return wait<removed>(*impl_, remove_part(type, key, read_view::fields, std::move(field), options));
}

pending<removed> async_session::remove_field(std::string_view type, std::string_view key, std::string field,
                                             call_options options) {
  return issue<removed>(*impl_, remove_part(type, key, read_view::fields, std::move(field), options));
}

void async_session::remove_field(std::string_view type, std::string_view key, std::string field,
                                 on_done<removed> done) {
  issue<removed>(*impl_, remove_part(type, key, read_view::fields, std::move(field), done.options),
                 std::move(done.done));
}

// -- tokens

result<std::string> session::token() {
  return wait_for<std::string>(*impl_, std::nullopt, [&](auto done) { impl_->ask_token(std::move(done)); });
}

pending<std::string> async_session::token() {
  return pending_of<std::string>([&](auto done) { impl_->ask_token(std::move(done)); });
}

void async_session::token(std::function<void(result<std::string>)> done) { impl_->ask_token(std::move(done)); }

result<void> session::join(std::string_view token) { return impl_->join(token); }

} // namespace troupe
