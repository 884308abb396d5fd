/// A serialized record, opened for a moment.
///
/// Why: a home keeps many records and looks at few. As one string each they take a third of the memory of messages,
/// and are not scattered over it: an opened record is a tree of up to forty of them, here made in one block and gone
/// at once.
#pragma once

#include "protocol/assert.hpp"
#include "protocol/wire/record.pb.h"

#include <google/protobuf/arena.h>

#include <array>
#include <cstddef>
#include <string>

namespace troupe {

class opened_record {
public:
  /// @param bytes  a serialized v1::Record; empty = of a key that was never written.
  explicit opened_record(const std::string& bytes) : record_{make()} {
    const bool whole = record_->ParseFromString(bytes);
    TROUPE_ASSERT(whole);
  }
  opened_record(const opened_record&) = delete;
  opened_record& operator=(const opened_record&) = delete;

  v1::Record& operator*() { return *record_; }
  v1::Record* operator->() { return record_; }

  /// Another one with the same contents, that lives as long as this.
  v1::Record& copy() {
    auto& other = *make();
    other = *record_;
    return other;
  }

private:
  /// Of one with small values and as many outcomes as it remembers, and of its copy.
  static constexpr std::size_t usual_bytes = 8192;

  v1::Record* make() { return google::protobuf::Arena::CreateMessage<v1::Record>(&memory_); }
  google::protobuf::ArenaOptions first_block() {
    google::protobuf::ArenaOptions options;
    options.initial_block = block_.data();
    options.initial_block_size = block_.size();
    return options;
  }

  alignas(std::max_align_t) std::array<char, usual_bytes> block_;
  google::protobuf::Arena memory_{first_block()};
  v1::Record* record_;
};

} // namespace troupe
