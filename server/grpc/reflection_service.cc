#include "server/grpc/reflection_service.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>

#include <set>

#include "server/grpc/call.h"

namespace tessera {
namespace {

using google::protobuf::DescriptorPool;
using google::protobuf::FileDescriptor;

// The file and all that it imports, itself first.
void AddFiles(const FileDescriptor& file, std::set<std::string>& seen,
              grpc::reflection::v1alpha::FileDescriptorResponse& out) {
  if (!seen.insert(file.name()).second) return;
  google::protobuf::FileDescriptorProto proto;
  file.CopyTo(&proto);
  out.add_file_descriptor_proto(proto.SerializeAsString());
  for (int i = 0; i < file.dependency_count(); ++i) AddFiles(*file.dependency(i), seen, out);
}

void SetFile(const FileDescriptor* file, const std::string& asked, ReflectionService::Response& out) {
  if (file == nullptr) {
    out.mutable_error_response()->set_error_code(static_cast<int>(grpc::StatusCode::NOT_FOUND));
    out.mutable_error_response()->set_error_message("not found: " + asked.substr(0, 256));
    return;
  }
  std::set<std::string> seen;
  AddFiles(*file, seen, *out.mutable_file_descriptor_response());
}

// Reads a question, writes its answer, reads the next.
class ReflectionStream final : public grpc::ServerBidiReactor<ReflectionService::Request, ReflectionService::Response> {
 public:
  explicit ReflectionStream(const ReflectionService& service) : service_(service) { StartRead(&request_); }

  void OnReadDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::OK);
    response_ = service_.Answer(request_);
    StartWrite(&response_);
  }
  void OnWriteDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::CANCELLED);
    StartRead(&request_);
  }
  void OnDone() override { delete this; }

 private:
  const ReflectionService& service_;
  ReflectionService::Request request_;
  ReflectionService::Response response_;
};

class RefusedStream final : public grpc::ServerBidiReactor<ReflectionService::Request, ReflectionService::Response> {
 public:
  explicit RefusedStream(const absl::Status& status) { Finish(ToGrpc(status)); }
  void OnDone() override { delete this; }
};

}  // namespace

ReflectionService::Response ReflectionService::Answer(const Request& request) const {
  Response out;
  out.set_valid_host(request.host());
  *out.mutable_original_request() = request;
  const DescriptorPool& pool = *DescriptorPool::generated_pool();
  switch (request.message_request_case()) {
    case Request::kListServices:
      for (const std::string& name : services_) out.mutable_list_services_response()->add_service()->set_name(name);
      break;
    case Request::kFileByFilename:
      SetFile(pool.FindFileByName(request.file_by_filename()), request.file_by_filename(), out);
      break;
    case Request::kFileContainingSymbol:
      SetFile(pool.FindFileContainingSymbol(request.file_containing_symbol()), request.file_containing_symbol(), out);
      break;
    default:  // extensions: proto3 services have none
      SetFile(nullptr, "extension", out);
  }
  return out;
}

grpc::ServerBidiReactor<ReflectionService::Request, ReflectionService::Response>*
ReflectionService::ServerReflectionInfo(grpc::CallbackServerContext* context) {
  if (absl::Status status = CheckKey(*context, keys_); !status.ok()) return new RefusedStream(status);
  return new ReflectionStream(*this);
}

}  // namespace tessera
