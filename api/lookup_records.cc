// SPDX-License-Identifier: Apache-2.0
#include "api/lookup_records.h"

#include "api/json_readers.h"

namespace hnv {
namespace {

constexpr Words<LookupRecordType, 4> kTypeWords{
    {{"Static", LookupRecordType::static_record},
     {"Dynamic", LookupRecordType::dynamic},
     {"GatewayWildcard", LookupRecordType::gateway_wildcard},
     {"L2Only", LookupRecordType::l2_only}}};

// A customer address; a wildcard's may be written as 0.0.0.0 or ::, as Windows' cmdlets do.
struct CustomerAddressReader {
  LookupRecordType type;

  void operator()(const Place& place, const Json& json, Faults& faults,
                  IpAddress<Space::customer>& out) const {
    switch (type) {
      case LookupRecordType::static_record:
      case LookupRecordType::dynamic:
        kHostAddressReader(place, json, faults, out);
        return;
      case LookupRecordType::gateway_wildcard:
        kTextFormReader(place, json, faults, out);
        if (!out.unspecified()) {
          faults.invalid(place, "a GatewayWildcard record stands for every address: leave it out");
        }
        return;
      case LookupRecordType::l2_only:
        faults.invalid(place, "an L2Only record is known by its MAC address: leave it out");
        return;
    }
  }
};

// `address` is what customerAddress said, none when it was left out: only then a wildcard's name
// tells its family.
RecordId id_of(const LookupRecordSpec& spec,
               const std::optional<IpAddress<Space::customer>>& address,
               const std::optional<RecordId>& named) {
  const bool named_v6 = named && std::holds_alternative<WildcardV6>(*named);
  switch (spec.type) {
    case LookupRecordType::static_record:
    case LookupRecordType::dynamic:
      return spec.customer_address.value_or(IpAddress<Space::customer>{});
    case LookupRecordType::gateway_wildcard:
      if (address ? !address->is_v4() : named_v6) return WildcardV6{};
      return WildcardV4{};
    case LookupRecordType::l2_only:
      return spec.mac_address;
  }
  return WildcardV4{};
}

std::string_view deciding_property(LookupRecordType type) {
  switch (type) {
    case LookupRecordType::static_record:
    case LookupRecordType::dynamic:
      return "customerAddress";
    case LookupRecordType::gateway_wildcard:
      return "type";
    case LookupRecordType::l2_only:
      return "macAddress";
  }
  return "type";
}

}  // namespace

std::optional<RecordId> decode_record_id(const Place& place, std::string_view text,
                                         Faults& faults) {
  auto id = parse_record_id(text);
  if (!id) {
    faults.invalid(
        place,
        "must be a record's id: a customer address such as \"10.0.0.4\" or \"2001:db8::4\", "
        "\"wildcard-v4\", \"wildcard-v6\", or \"l2-\" and a MAC address such as "
        "\"l2-02:00:5e:00:00:01\"");
  }
  return id;
}

IdentifiedRecord decode_lookup_record(const Place& place, const Json& json, Faults& faults,
                                      const std::optional<RecordId>& named) {
  const size_t before = faults.count();
  LookupRecordSpec spec;
  ObjectReader in(place, json, faults);
  in.optional("type", spec.type, OneOf{kTypeWords});
  IpAddress<Space::customer> customer_address;
  in.optional("customerAddress", customer_address, CustomerAddressReader{spec.type});
  in.required("providerAddress", spec.provider_address, kHostAddressReader);
  in.required("macAddress", spec.mac_address, kStationMacReader);
  ignore_answer_properties(in);
  in.finish();
  if (deciding_property(spec.type) == "customerAddress") {
    if (json.is_object() && !in.has("customerAddress")) {
      in.invalid("customerAddress", "is required");
    }
    spec.customer_address = customer_address;
  }
  if (faults.count() != before) return {};

  const RecordId id = id_of(
      spec, in.has("customerAddress") ? std::optional(customer_address) : std::nullopt, named);
  if (named && *named != id) {
    in.invalid(deciding_property(spec.type), fmt::format("makes this record {}, but it is named {}",
                                                         to_string(id), to_string(*named)));
  }
  return {id, spec};
}

Json encode(const LookupRecordSpec& spec) {
  Json json{{"type", word_of(kTypeWords, spec.type)},
            {"providerAddress", spec.provider_address.to_string()},
            {"macAddress", spec.mac_address.to_string()}};
  if (spec.customer_address) json["customerAddress"] = spec.customer_address->to_string();
  return json;
}

}  // namespace hnv
