#include "sandbox/pool_shape.h"

namespace wrenn::sandbox {

bool IsPlain(const std::string& tenant, const CreateRequest& request) {
  return tenant == store::kDefaultTenant && !request.vcpus && !request.memory_mb &&
         !request.disk_mb && request.network == Network() && !request.has_network;
}

PoolShape ShapeOf(const store::SandboxRecord& record, const Source& source, bool plain) {
  return {record.template_name, source,        record.vcpus, record.memory_mb,
          record.disk_mb,       record.egress, plain};
}

}  // namespace wrenn::sandbox
