// SPDX-License-Identifier: Apache-2.0
//
// Where the desired state outlives the process. What is written is the difference of two models, so
// that nothing can be forgotten and a group of changes costs one commit.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "compartments/result.h"
#include "gateway/model.h"

namespace hnv {

// One row of the store to write or to delete.
struct PutResourceRow {
  std::string path;  // resource_path(): the row's key
  std::string kind;  // the collection's name in paths, e.g. "virtualSubnets"
  std::string json;  // what was asked for, with what the server chose for good (spec_to_json)
  uint64_t etag = 0;
  friend bool operator==(const PutResourceRow&, const PutResourceRow&) = default;
};
struct DeleteResourceRow {
  std::string path;
  friend bool operator==(const DeleteResourceRow&, const DeleteResourceRow&) = default;
};
struct PutRecordRow {
  std::string domain, subnet;
  RecordId id;
  LookupRecord record;
  friend bool operator==(const PutRecordRow&, const PutRecordRow&) = default;
};
struct DeleteRecordRow {
  std::string domain, subnet;
  RecordId id;
  friend bool operator==(const DeleteRecordRow&, const DeleteRecordRow&) = default;
};
using StoreWrite = std::variant<PutResourceRow, DeleteResourceRow, PutRecordRow, DeleteRecordRow>;

// What turns the rows of `before` into those of `after`. Pure; cost as differences().
[[nodiscard]] std::vector<StoreWrite> store_writes(const DesiredState& before,
                                                   const DesiredState& after);

struct LoadedState {
  uint64_t generation = 0;
  MacAddress gateway_mac;  // chosen when the store was made
  std::vector<Resource> resources;
};

// Used by one thread at a time: by `main` before the loops start, then by the store thread.
class Store {
 public:
  Store() = default;
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;
  Store(Store&&) = delete;
  Store& operator=(Store&&) = delete;
  virtual ~Store() = default;

  // Everything, for restore(). An error names the row that cannot be read.
  [[nodiscard]] virtual Result<LoadedState> load() = 0;
  // Durable when it returns. On an error nothing has changed: insufficient_storage when the disk is
  // full, else internal.
  [[nodiscard]] virtual Result<void> commit(const std::vector<StoreWrite>& writes,
                                            uint64_t generation) = 0;
};

}  // namespace hnv
