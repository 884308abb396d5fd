/// What a message about read locks must be, whoever sends it: looked at before anything of it is used.
#pragma once

#include "protocol/wire.hpp"

#include <string_view>

namespace troupe {

/// Names what is wrong with a message that `from` sent as a home; empty = nothing.
std::string_view flaw_of(node_id from, const v1::LeaseGranted& granted);
std::string_view flaw_of(node_id from, const v1::LockGranted& granted);
std::string_view flaw_of(node_id from, const v1::LargeCopy& large);
std::string_view flaw_of(node_id from, const v1::Recall& recall);
std::string_view flaw_of(node_id from, const v1::Committed& committed);
std::string_view flaw_of(const v1::LockRefused& refused);

/// The same for a message to a home.
std::string_view flaw_of(const v1::LockRequest& request);
std::string_view flaw_of(const v1::LockRelease& release);
std::string_view flaw_of(const v1::GivenBack& given_back);
std::string_view flaw_of(const v1::HeldLease& held);
std::string_view flaw_of(const v1::Recalled& recalled);

} // namespace troupe
