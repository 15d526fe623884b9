export { type Diagnosis, doctor, type Finding } from "./doctor.js";
