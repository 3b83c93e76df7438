package goclient

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	batchv1 "k8s.io/api/batch/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	applyapps "k8s.io/client-go/applyconfigurations/apps/v1"
	applycore "k8s.io/client-go/applyconfigurations/core/v1"
	applymeta "k8s.io/client-go/applyconfigurations/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/retry"
)

func deployment(name string) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
		Spec: appsv1.DeploymentSpec{
			Replicas: pointer[int32](2),
			Selector: &metav1.LabelSelector{MatchLabels: labels, MatchExpressions: []metav1.LabelSelectorRequirement{
				{Key: "app", Operator: metav1.LabelSelectorOpIn, Values: []string{name}}}},
			Strategy: appsv1.DeploymentStrategy{Type: appsv1.RollingUpdateDeploymentStrategyType,
				RollingUpdate: &appsv1.RollingUpdateDeployment{
					MaxSurge: pointer(intstr.FromInt32(1)), MaxUnavailable: pointer(intstr.FromString("10%"))}},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{
					Containers: []corev1.Container{{
						Name:  "main",
						Image: "registry.example.com/main:1",
						Env:   []corev1.EnvVar{{Name: "A", Value: "b"}, {Name: "P", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}}},
						Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}},
						Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
							"cpu": resource.MustParse("1500m"), "memory": resource.MustParse("1Gi")}},
						LivenessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/", Port: intstr.FromString("http")}}},
						VolumeMounts:  []corev1.VolumeMount{{Name: "v", MountPath: "/v"}},
					}},
					Volumes:     []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "c"}, Optional: pointer(true)}}}},
					Tolerations: []corev1.Toleration{{Key: "k", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: pointer[int64](3)}},
				},
			},
		},
	}
}

// Both encodings of requests must mean the same to the server.
func inBothEncodings(t *testing.T, test func(t *testing.T, config *rest.Config)) {
	t.Run("json", func(t *testing.T) { test(t, config(t)) })
	t.Run("protobuf", func(t *testing.T) { test(t, protobuf(t)) })
}

func TestDeployments(t *testing.T) {
	inBothEncodings(t, func(t *testing.T, config *rest.Config) {
		ctx, namespace := t.Context(), space(t)
		client := typed(t, config).AppsV1().Deployments(namespace)

		made, err := client.Create(ctx, deployment("d"), metav1.CreateOptions{FieldValidation: "Strict", FieldManager: "maker"})
		must(t, err)
		expect(t, made.Generation == 1 && made.UID != "" && made.ResourceVersion != "", "%+v", made.ObjectMeta)
		expect(t, made.Spec.Template.Spec.Containers[0].Resources.Requests.Cpu().MilliValue() == 1500, "%+v", made.Spec)
		expect(t, *made.Spec.ProgressDeadlineSeconds == 600, "defaults are missing: %+v", made.Spec)
		expect(t, made.Spec.Strategy.RollingUpdate.MaxUnavailable.StrVal == "10%", "%+v", made.Spec.Strategy)
		expect(t, made.ManagedFields[0].Manager == "maker", "%+v", made.ManagedFields)

		read, err := client.Get(ctx, "d", metav1.GetOptions{})
		must(t, err)
		expect(t, apiequality.Semantic.DeepEqual(made, read), "made %+v\nread %+v", made, read)

		same, err := client.Update(ctx, read, metav1.UpdateOptions{})
		must(t, err)
		expect(t, same.ResourceVersion == read.ResourceVersion, "an update without a change made version %s of %s", same.ResourceVersion, read.ResourceVersion)

		read.Spec.Replicas = pointer[int32](3)
		changed, err := client.Update(ctx, read, metav1.UpdateOptions{})
		must(t, err)
		expect(t, changed.Generation == 2, "generation %d", changed.Generation)
		_, err = client.Update(ctx, read, metav1.UpdateOptions{})
		expect(t, apierrors.IsConflict(err), "an update from an old version: %v", err)

		changed.Spec.Replicas = pointer[int32](9)
		changed.Status.Replicas = 3
		changed.Status.Conditions = []appsv1.DeploymentCondition{{Type: "Available", Status: "True", LastUpdateTime: metav1.Now(), LastTransitionTime: metav1.Now()}}
		reported, err := client.UpdateStatus(ctx, changed, metav1.UpdateOptions{})
		must(t, err)
		expect(t, *reported.Spec.Replicas == 3 && reported.Status.Replicas == 3 && reported.Generation == 2, "%+v", reported)

		scale, err := client.GetScale(ctx, "d", metav1.GetOptions{})
		must(t, err)
		expect(t, scale.Spec.Replicas == 3 && scale.Status.Selector == "app=d,app in (d)", "%+v", scale)
		scale.Spec.Replicas = 4
		scaled, err := client.UpdateScale(ctx, "d", scale, metav1.UpdateOptions{})
		must(t, err)
		expect(t, scaled.Spec.Replicas == 4, "%+v", scaled)

		patched, err := client.Patch(ctx, "d", types.StrategicMergePatchType, []byte(`{"spec":{"template":{"spec":{"containers":[{"name":"side","image":"registry.example.com/side:1"}]}}}}`), metav1.PatchOptions{})
		must(t, err)
		expect(t, len(patched.Spec.Template.Spec.Containers) == 2 && *patched.Spec.Replicas == 4, "%+v", patched.Spec)
		patched, err = client.Patch(ctx, "d", types.MergePatchType, []byte(`{"metadata":{"labels":{"app":null,"x":"y"}}}`), metav1.PatchOptions{})
		must(t, err)
		expect(t, len(patched.Labels) == 1 && patched.Labels["x"] == "y", "%+v", patched.Labels)
		patched, err = client.Patch(ctx, "d", types.JSONPatchType, []byte(`[{"op":"test","path":"/metadata/labels/x","value":"y"},{"op":"remove","path":"/spec/template/spec/containers/0"}]`), metav1.PatchOptions{})
		must(t, err)
		expect(t, len(patched.Spec.Template.Spec.Containers) == 1, "%+v", patched.Spec)

		dry, err := client.Patch(ctx, "d", types.MergePatchType, []byte(`{"metadata":{"labels":{"dry":"run"}}}`), metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
		must(t, err)
		kept, err := client.Get(ctx, "d", metav1.GetOptions{})
		must(t, err)
		expect(t, dry.Labels["dry"] == "run" && kept.Labels["dry"] == "" && kept.ResourceVersion == patched.ResourceVersion, "%+v", kept.ObjectMeta)

		must(t, client.Delete(ctx, "d", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &kept.UID}, PropagationPolicy: pointer(metav1.DeletePropagationBackground)}))
		_, err = client.Get(ctx, "d", metav1.GetOptions{})
		expect(t, apierrors.IsNotFound(err), "a deleted deployment: %v", err)
	})
}

func TestServerSideApply(t *testing.T) {
	ctx, namespace := t.Context(), space(t)
	client := typed(t, protobuf(t)).AppsV1().Deployments(namespace)
	configuration := func(replicas int32, image string) *applyapps.DeploymentApplyConfiguration {
		labels := map[string]string{"app": "a"}
		return applyapps.Deployment("a", namespace).WithLabels(labels).WithSpec(applyapps.DeploymentSpec().
			WithReplicas(replicas).WithSelector(applymeta.LabelSelector().WithMatchLabels(labels)).
			WithTemplate(applycore.PodTemplateSpec().WithLabels(labels).WithSpec(applycore.PodSpec().
				WithContainers(applycore.Container().WithName("main").WithImage(image)))))
	}

	first, err := client.Apply(ctx, configuration(2, "registry.example.com/a:1"), metav1.ApplyOptions{FieldManager: "one"})
	must(t, err)
	again, err := client.Apply(ctx, configuration(2, "registry.example.com/a:1"), metav1.ApplyOptions{FieldManager: "one"})
	must(t, err)
	expect(t, again.ResourceVersion == first.ResourceVersion, "applying the same again wrote")

	_, err = client.Apply(ctx, configuration(5, "registry.example.com/a:1"), metav1.ApplyOptions{FieldManager: "two"})
	expect(t, apierrors.IsConflict(err) && apierrors.HasStatusCause(err, metav1.CauseTypeFieldManagerConflict), "%v", err)
	forced, err := client.Apply(ctx, configuration(5, "registry.example.com/a:1"), metav1.ApplyOptions{FieldManager: "two", Force: true})
	must(t, err)
	expect(t, *forced.Spec.Replicas == 5, "%+v", forced.Spec)

	extracted, err := applyapps.ExtractDeployment(forced, "one")
	must(t, err)
	expect(t, extracted.Spec.Replicas == nil && *extracted.Spec.Template.Spec.Containers[0].Image == "registry.example.com/a:1", "%+v", extracted.Spec)
	status, err := client.ApplyStatus(ctx, applyapps.Deployment("a", namespace).WithStatus(applyapps.DeploymentStatus().WithReplicas(5)), metav1.ApplyOptions{FieldManager: "status"})
	must(t, err)
	expect(t, status.Status.Replicas == 5 && *status.Spec.Replicas == 5, "%+v", status)
	scale, err := client.ApplyScale(ctx, "a", nil, metav1.ApplyOptions{FieldManager: "three"})
	expect(t, err != nil, "applied a scale of nothing: %+v", scale)
}

// What is sent in protobuf comes back unchanged, for the kinds that controllers write most.
func TestKindsInBothEncodings(t *testing.T) {
	inBothEncodings(t, func(t *testing.T, config *rest.Config) {
		ctx, namespace := t.Context(), space(t)
		client, options := typed(t, config), metav1.CreateOptions{}

		settings, err := client.CoreV1().ConfigMaps(namespace).Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "c", Annotations: map[string]string{"ä": "ö"}}, Data: map[string]string{"k": "<&> \u2028 é"}, BinaryData: map[string][]byte{"b": {0, 255, 1}}}, options)
		if apierrors.IsInvalid(err) { // the key of an annotation is ASCII
			settings, err = client.CoreV1().ConfigMaps(namespace).Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "c", Annotations: map[string]string{"a": "ö"}}, Data: map[string]string{"k": "<&> \u2028 é"}, BinaryData: map[string][]byte{"b": {0, 255, 1}}}, options)
		}
		must(t, err)
		expect(t, settings.Data["k"] == "<&> \u2028 é" && string(settings.BinaryData["b"]) == "\x00\xff\x01", "%+v", settings)
		secret, err := client.CoreV1().Secrets(namespace).Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{GenerateName: "s-"}, StringData: map[string]string{"a": "b"}, Data: map[string][]byte{"c": []byte("d")}}, options)
		must(t, err)
		expect(t, string(secret.Data["a"]) == "b" && secret.Type == corev1.SecretTypeOpaque && strings.HasPrefix(secret.Name, "s-"), "%+v", secret)
		_, err = client.CoreV1().Services(namespace).Create(ctx, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "v"}, Spec: corev1.ServiceSpec{Selector: map[string]string{"a": "b"}, Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(8080)}}}}, options)
		must(t, err)
		lease, err := client.CoordinationV1().Leases(namespace).Create(ctx, &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "l"}, Spec: coordinationv1.LeaseSpec{HolderIdentity: pointer("me"), LeaseDurationSeconds: pointer[int32](15), RenewTime: pointer(metav1.NewMicroTime(time.Unix(1700000000, 123456000)))}}, options)
		must(t, err)
		expect(t, lease.Spec.RenewTime.UnixMicro() == 1700000000123456, "%v", lease.Spec.RenewTime)
		_, err = client.RbacV1().Roles(namespace).Create(ctx, &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "r"}, Rules: []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"get"}}}}, options)
		must(t, err)
		_, err = client.RbacV1().RoleBindings(namespace).Create(ctx, &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "r"}, RoleRef: rbacv1.RoleRef{Kind: "Role", Name: "r"}, Subjects: []rbacv1.Subject{{Kind: "User", Name: "u"}}}, options)
		must(t, err)
		job, err := client.BatchV1().Jobs(namespace).Create(ctx, &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "j"}, Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "j", Image: "j"}}}}}}, options)
		must(t, err)
		expect(t, job.Spec.Selector.MatchLabels["batch.kubernetes.io/controller-uid"] == string(job.UID), "%+v", job.Spec.Selector)
		_, err = client.NetworkingV1().NetworkPolicies(namespace).Create(ctx, &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Name: "n"}, Spec: networkingv1.NetworkPolicySpec{Ingress: []networkingv1.NetworkPolicyIngressRule{{Ports: []networkingv1.NetworkPolicyPort{{Port: pointer(intstr.FromString("http"))}}}}}}, options)
		must(t, err)
		_, err = client.PolicyV1().PodDisruptionBudgets(namespace).Create(ctx, &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: policyv1.PodDisruptionBudgetSpec{MinAvailable: pointer(intstr.FromString("50%")), Selector: &metav1.LabelSelector{}}}, options)
		must(t, err)
		_, err = client.AutoscalingV1().HorizontalPodAutoscalers(namespace).Create(ctx, &autoscalingv1.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Name: "h"}, Spec: autoscalingv1.HorizontalPodAutoscalerSpec{MaxReplicas: 3, TargetCPUUtilizationPercentage: pointer[int32](70), ScaleTargetRef: autoscalingv1.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "d"}}}, options)
		must(t, err)
		scaler, err := client.AutoscalingV2().HorizontalPodAutoscalers(namespace).Get(ctx, "h", metav1.GetOptions{})
		must(t, err)
		expect(t, *scaler.Spec.Metrics[0].Resource.Target.AverageUtilization == 70, "%+v", scaler.Spec)
		quota, err := client.CoreV1().ResourceQuotas(namespace).Create(ctx, &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "q"}, Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{"requests.memory": resource.MustParse("1536Mi")}}}, options)
		must(t, err)
		expect(t, quota.Spec.Hard.Name("requests.memory", resource.BinarySI).String() == "1536Mi", "%+v", quota.Spec)

		recorded, err := client.CoreV1().Events(namespace).Create(ctx, &corev1.Event{ObjectMeta: metav1.ObjectMeta{Name: "e"}, InvolvedObject: corev1.ObjectReference{Kind: "ConfigMap", APIVersion: "v1", Name: "c", Namespace: namespace}, Reason: "R", Message: "m", Type: "Normal", FirstTimestamp: metav1.Now(), LastTimestamp: metav1.Now(), Count: 1, Source: corev1.EventSource{Component: "go"}}, options)
		must(t, err)
		newer, err := client.EventsV1().Events(namespace).Get(ctx, recorded.Name, metav1.GetOptions{})
		must(t, err)
		expect(t, newer.Note == "m" && newer.Regarding.Name == "c" && newer.DeprecatedSource.Component == "go", "%+v", newer)
		_, err = client.EventsV1().Events(namespace).Create(ctx, &eventsv1.Event{ObjectMeta: metav1.ObjectMeta{Name: "f"}, EventTime: metav1.NowMicro(), ReportingController: "example.com/go", ReportingInstance: "i", Action: "Do", Reason: "R", Type: "Normal", Regarding: corev1.ObjectReference{Kind: "ConfigMap", Name: "c", Namespace: namespace}, Note: "n"}, options)
		must(t, err)
		about, err := client.CoreV1().Events(namespace).List(ctx, metav1.ListOptions{FieldSelector: "involvedObject.name=c,involvedObject.kind=ConfigMap"})
		must(t, err)
		expect(t, len(about.Items) == 2, "%+v", about.Items)

		account, err := client.CoreV1().ServiceAccounts(namespace).Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "robot"}}, options)
		must(t, err)
		token, err := client.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, account.Name, &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: pointer[int64](900)}}, options)
		must(t, err)
		review, err := client.AuthenticationV1().TokenReviews().Create(ctx, &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token.Status.Token}}, options)
		must(t, err)
		expect(t, review.Status.Authenticated && review.Status.User.Username == fmt.Sprintf("system:serviceaccount:%s:robot", namespace), "%+v", review.Status)
		may, err := client.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{User: "u", ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: namespace, Verb: "get", Resource: "pods"}}}, options)
		must(t, err)
		expect(t, may.Status.Allowed, "%+v", may.Status)

		robot := rest.AnonymousClientConfig(config)
		robot.BearerToken = token.Status.Token
		asRobot := typed(t, robot)
		_, err = asRobot.CoreV1().Secrets(namespace).List(ctx, metav1.ListOptions{})
		expect(t, apierrors.IsForbidden(err), "%v", err)
		self, err := asRobot.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: namespace, Verb: "get", Resource: "secrets"}}}, options)
		must(t, err)
		expect(t, !self.Status.Allowed, "%+v", self.Status)
		who, err := asRobot.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, options)
		must(t, err)
		expect(t, strings.HasSuffix(who.Status.UserInfo.Username, ":robot"), "%+v", who.Status)
	})
}

func TestCertificateSigningRequests(t *testing.T) {
	inBothEncodings(t, func(t *testing.T, config *rest.Config) {
		ctx := t.Context()
		client := typed(t, config).CertificatesV1().CertificateSigningRequests()
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(t, err)
		der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "gopher", Organization: []string{"gophers"}}}, key)
		must(t, err)
		made, err := client.Create(ctx, &certificatesv1.CertificateSigningRequest{
			ObjectMeta: metav1.ObjectMeta{GenerateName: "go-"},
			Spec: certificatesv1.CertificateSigningRequestSpec{
				Request: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), SignerName: certificatesv1.KubeAPIServerClientSignerName,
				ExpirationSeconds: pointer[int32](3600), Usages: []certificatesv1.KeyUsage{certificatesv1.UsageClientAuth}},
		}, metav1.CreateOptions{})
		must(t, err)

		made.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue, Reason: "Go"}}
		_, err = client.UpdateApproval(ctx, made.Name, made, metav1.UpdateOptions{})
		must(t, err)

		eventually(t, "a certificate", func(ctx context.Context) (bool, error) {
			made, err = client.Get(ctx, made.Name, metav1.GetOptions{})
			return err == nil && len(made.Status.Certificate) > 0, err
		})
		block, _ := pem.Decode(made.Status.Certificate)
		certificate, err := x509.ParseCertificate(block.Bytes)
		must(t, err)
		expect(t, certificate.Subject.CommonName == "gopher", "%v", certificate.Subject)
		der, err = x509.MarshalECPrivateKey(key)
		must(t, err)
		own := rest.AnonymousClientConfig(config)
		own.CertData, own.KeyData = made.Status.Certificate, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
		who, err := typed(t, own).AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
		must(t, err)
		expect(t, who.Status.UserInfo.Username == "gopher" && who.Status.UserInfo.Groups[0] == "gophers", "%+v", who.Status)
		must(t, client.Delete(ctx, made.Name, metav1.DeleteOptions{}))
	})
}

func TestErrorsThatClientsTellApart(t *testing.T) {
	ctx, namespace := t.Context(), space(t)
	configMaps := typed(t, protobuf(t)).CoreV1().ConfigMaps(namespace)
	_, err := configMaps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "a"}}, metav1.CreateOptions{})
	must(t, err)

	_, err = configMaps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "a"}}, metav1.CreateOptions{})
	expect(t, apierrors.IsAlreadyExists(err), "%v", err)
	_, err = configMaps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "A B"}}, metav1.CreateOptions{})
	expect(t, apierrors.IsInvalid(err) && apierrors.HasStatusCause(err, metav1.CauseTypeFieldValueInvalid), "%v", err)
	_, err = configMaps.Get(ctx, "b", metav1.GetOptions{})
	expect(t, apierrors.IsNotFound(err), "%v", err)
	_, err = configMaps.List(ctx, metav1.ListOptions{LabelSelector: "a b c"})
	expect(t, apierrors.IsBadRequest(err), "%v", err)
	_, err = configMaps.List(ctx, metav1.ListOptions{ResourceVersion: "1", ResourceVersionMatch: metav1.ResourceVersionMatchExact})
	expect(t, err == nil || apierrors.IsResourceExpired(err) || apierrors.IsGone(err), "%v", err)
	_, err = typed(t, protobuf(t)).CoreV1().ConfigMaps("missing-"+namespace).Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "a"}}, metav1.CreateOptions{})
	expect(t, apierrors.IsNotFound(err), "%v", err)
	err = configMaps.Delete(ctx, "a", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: pointer(types.UID("other"))}})
	expect(t, apierrors.IsConflict(err), "%v", err)
	anonymous := rest.AnonymousClientConfig(config(t))
	anonymous.BearerToken = "nonsense"
	_, err = typed(t, anonymous).CoreV1().ConfigMaps(namespace).Get(ctx, "a", metav1.GetOptions{})
	expect(t, apierrors.IsUnauthorized(err), "%v", err)
	anonymous.BearerToken = ""
	_, err = typed(t, anonymous).CoreV1().ConfigMaps(namespace).Get(ctx, "a", metav1.GetOptions{})
	expect(t, apierrors.IsForbidden(err), "%v", err)
}

func TestWritersThatRetryConflictsLoseNothing(t *testing.T) {
	ctx, namespace := t.Context(), space(t)
	configMaps := typed(t, protobuf(t)).CoreV1().ConfigMaps(namespace)
	_, err := configMaps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "counter"}, Data: map[string]string{}}, metav1.CreateOptions{})
	must(t, err)
	var group sync.WaitGroup
	for writer := range 8 {
		group.Go(func() {
			for round := range 5 {
				err := retry.OnError(retry.DefaultBackoff, func(error) bool { return true }, func() error {
					found, err := configMaps.Get(ctx, "counter", metav1.GetOptions{})
					if err != nil {
						return err
					}
					if found.Data == nil {
						found.Data = map[string]string{}
					}
					found.Data[fmt.Sprintf("%d-%d", writer, round)] = "x"
					_, err = configMaps.Update(ctx, found, metav1.UpdateOptions{})
					return err
				})
				for err != nil && ctx.Err() == nil {
					found, failed := configMaps.Get(ctx, "counter", metav1.GetOptions{})
					if failed == nil {
						found.Data[fmt.Sprintf("%d-%d", writer, round)] = "x"
						_, err = configMaps.Update(ctx, found, metav1.UpdateOptions{})
					}
				}
			}
		})
	}
	group.Wait()
	found, err := configMaps.Get(ctx, "counter", metav1.GetOptions{})
	must(t, err)
	expect(t, len(found.Data) == 40, "%d of 40 writes are there", len(found.Data))
}

func TestListsInPagesAndDeleteCollection(t *testing.T) {
	ctx, namespace := t.Context(), space(t)
	configMaps := typed(t, protobuf(t)).CoreV1().ConfigMaps(namespace)
	for index := range 25 {
		_, err := configMaps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("c%02d", index), Labels: map[string]string{"even": fmt.Sprint(index%2 == 0)}}}, metav1.CreateOptions{})
		must(t, err)
	}
	names, options := []string{}, metav1.ListOptions{Limit: 10}
	for page := 0; ; page++ {
		found, err := configMaps.List(ctx, options)
		must(t, err)
		for _, item := range found.Items {
			names = append(names, item.Name)
		}
		if options.Continue = found.Continue; options.Continue == "" {
			break
		}
		expect(t, page < 5, "pages without an end")
		if page == 0 { // what comes later belongs to no page of this list
			_, err = configMaps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "c99"}}, metav1.CreateOptions{})
			must(t, err)
		}
	}
	count := 0
	for _, name := range names {
		if strings.HasPrefix(name, "c") {
			count++
		}
	}
	expect(t, count == 25, "%v", names)
	must(t, configMaps.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "even=true"}))
	left, err := configMaps.List(ctx, metav1.ListOptions{LabelSelector: "even"})
	must(t, err)
	expect(t, len(left.Items) == 12, "%d are left", len(left.Items))
}
