// SPDX-License-Identifier: Apache-2.0
#include "gateway/address_watch.h"

#include <algorithm>
#include <set>

#include <spdlog/spdlog.h>

#include "gateway/discovery_frames.h"

namespace hnv {

AddressTables without_duplicates(const AddressTables& configured,
                                 const std::vector<Unsettled>& unsettled) {
  auto attachments = std::make_shared<AttachmentTable>(*configured.attachments);
  std::vector<std::pair<AttachmentId, wire::Address6>> gone;
  for (const Unsettled& entry : unsettled) {
    // Not there yet, or not any more: its table is of another generation for a moment.
    if (entry.address.is_v4() || entry.attachment.value() >= attachments->attachments.size()) {
      continue;
    }
    Attachment& attachment = attachments->attachments[entry.attachment.value()];
    attachment.unsettled6.push_back(entry.address.bytes());
    if (entry.status != AddressStatus::duplicate) continue;
    std::erase(attachment.own_addresses6, entry.address.bytes());
    gone.emplace_back(entry.attachment, entry.address.bytes());
  }
  return {
      std::move(attachments),
      gone.empty() ? configured.l3 : std::make_shared<const L3Table>(configured.l3->without(gone))};
}

std::shared_ptr<const OutLink> AddressWatch::usable_link(LinkId id) const {
  const auto& link = links_.at(id);
  const auto is_duplicate = [&](const OutLink::Own& own) {
    return own_.is_duplicate({id, own.address});
  };
  if (std::none_of(link->own.begin(), link->own.end(), is_duplicate)) return link;
  auto usable = std::make_shared<OutLink>(*link);
  std::erase_if(usable->own, is_duplicate);
  return usable;
}

void AddressWatch::set_link(std::shared_ptr<const OutLink> link, Instant now,
                            Neighbors::Actions& out) {
  OwnAddresses::Link own{.id = link->id,
                         .attachment = link->attachment,
                         .mac = link->mac.address(),
                         .addresses = {},
                         .detect = link->duplicate_detection,
                         .announce = link->announce};
  for (const auto& address : link->own) own.addresses.push_back(address.address);
  const LinkId id = link->id;
  links_[id] = std::move(link);
  OwnAddresses::Actions actions;
  own_.set(own, now, actions);
  if (!actions.changed.empty()) ++version_;
  next_hops_.set_link(usable_link(id), now, out);
}

void AddressWatch::remove_link(LinkId id, Neighbors::Actions& out) {
  own_.remove(id);
  links_.erase(id);
  ++version_;
  next_hops_.remove_link(id, out);
}

void AddressWatch::claimed(AttachmentId attachment, const LinkAddress& address,
                           const MacAddress& other, OwnAddresses::Claim how, Instant now,
                           Neighbors::Actions& out) {
  OwnAddresses::Actions actions;
  own_.claimed(attachment, address, other, how, now, actions);
  act(actions, now, out);
}

void AddressWatch::tick(Instant now, Neighbors::Actions& out) {
  OwnAddresses::Actions actions;
  own_.tick(now, actions);
  act(actions, now, out);
}

void AddressWatch::act(const OwnAddresses::Actions& actions, Instant now, Neighbors::Actions& out) {
  for (const OwnAddresses::Message& message : actions.messages) {
    rte_mbuf* mbuf = make_own_address_message(packets_, *links_.at(message.key.link), message);
    if (mbuf != nullptr && !inject_(mbuf)) rte_pktmbuf_free(mbuf);
  }
  for (const OwnAddresses::News& news : actions.news) say(news);
  if (!actions.changed.empty()) ++version_;
  for (const LinkId id : std::set<LinkId>(actions.changed.begin(), actions.changed.end())) {
    auto link = usable_link(id);
    const OutLink* known = next_hops_.link(id);
    if (known != nullptr && known->own == link->own) continue;  // it was no duplicate that changed
    next_hops_.set_link(std::move(link), now, out);
  }
}

void AddressWatch::say(const OwnAddresses::News& news) const {
  const std::string& link = links_.at(news.key.link)->name;
  const std::string address = news.key.address.to_string();
  if (news.taken_back) {
    spdlog::info("{}: nobody else has {} any more: it is used again", link, address);
  } else if (news.status == AddressStatus::duplicate) {
    spdlog::error("{}: {} is a duplicate: {} has it too. It is not used; asked again every {} s",
                  link, address, news.other.to_string(), in_seconds(OwnAddresses::kRetryDuplicate));
  } else {
    spdlog::warn("{}: {} says that it has {}, which is ours", link, news.other.to_string(),
                 address);
  }
}

AddressTables AddressWatch::usable(const AddressTables& configured) {
  if (own_.unsettled() == 0) return configured;
  if (last_.version == version_ && last_.configured.attachments == configured.attachments &&
      last_.configured.l3 == configured.l3) {
    return last_.usable;
  }
  std::vector<Unsettled> unsettled;
  for (const auto& [key, entry] : own_.entries()) {
    if (entry.status == AddressStatus::valid) continue;
    unsettled.push_back({entry.attachment, key.address, entry.status});
  }
  last_ = {version_, configured, without_duplicates(configured, unsettled)};
  return last_.usable;
}

}  // namespace hnv
