/// Generated protobuf classes as CAF 0.17 message elements.
///
/// The templates live in namespace google::protobuf because argument-dependent lookup reaches it through the base
/// class of every generated message. Local sends move the object and never come here; only what crosses a real
/// connection (Hello, HelloRefused, Frame) is serialized.
#pragma once

#include <caf/binary_deserializer.hpp>
#include <caf/deserializer.hpp>
#include <caf/detail/stringification_inspector.hpp>
#include <caf/error.hpp>
#include <caf/sec.hpp>
#include <caf/serializer.hpp>
#include <google/protobuf/message.h>

#include <string>
#include <type_traits>

namespace google::protobuf {

template <class T> inline constexpr bool is_generated = std::is_base_of_v<MessageLite, T>;

template <class T> std::enable_if_t<is_generated<T>, caf::error> inspect(caf::serializer& sink, T& x) {
  thread_local std::string bytes; // keeps its capacity
  bytes.clear();
  if (!x.SerializePartialToString(&bytes)) return caf::sec::invalid_argument;
  auto size = bytes.size();
  if (auto err = sink.begin_sequence(size)) return err;
  if (size > 0)
    if (auto err = sink.apply_raw(size, bytes.data())) return err;
  return sink.end_sequence();
}

template <class T> std::enable_if_t<is_generated<T>, caf::error> inspect(caf::deserializer& source, T& x) {
  std::size_t size = 0;
  if (auto err = source.begin_sequence(size)) return err;
  auto* in = dynamic_cast<caf::binary_deserializer*>(&source);
  if (in == nullptr) return caf::sec::invalid_argument;
  if (size > in->remaining()) return caf::sec::end_of_stream;
  if (!x.ParseFromArray(in->remainder().data(), static_cast<int>(size))) return caf::sec::invalid_argument;
  in->skip(size);
  return source.end_sequence();
}

template <class T> std::enable_if_t<is_generated<T>> inspect(caf::detail::stringification_inspector& sink, T& x) {
  sink(x.GetTypeName()); // never the content: it holds values
}

} // namespace google::protobuf
